-- Keeps leases for another while. What has expired stays so.
-- Said: the leases. Answers 0, woke, then the places (from 0) of those that are gone.

local ids = ...
if not clock() then return no_clock() end
local got = redis.call('HMGET', KEY, 'r', unpack(ids))
if not read(got[1]) then return lost() end
if sweep() then got = redis.call('HMGET', KEY, 'r', unpack(ids)) end
local opens_in = opening()
local renewed, gone = {}, {}
for i, id in ipairs(ids) do
    if got[i + 1] then
        renewed[#renewed + 1] = id
        renewed[#renewed + 1] = prolonged(got[i + 1])
    else
        gone[#gone + 1] = i - 1
    end
end
if #renewed > 0 then redis.call('HSET', KEY, unpack(renewed)) end
if dirty then write() end
-- The node has yet to register them.
if opens_in > 0 and #gone > 0 then return answer(OPENING, opens_in, made_at) end
return answer_with_places(gone, 0, woke)
