-- Runs a script with what is said to it.
local function call(script, key, at, process, asker, ...)
    begin(key, at, process, asker)
    return script(...)
end
