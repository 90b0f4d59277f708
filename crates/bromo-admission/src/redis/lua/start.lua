-- Tasks that want to start: credits, then slots, for one after the other until the first that may not.
-- ARGV: 4 to 7 version, slots, balance, place in the ledger; then lease, hold and usual duration in ms of each.
-- Answers 0, how many were taken, slots, leases, why the next was not (0 if all were), seconds to wait, woke,
-- ms until the first lease may expire.

if not clock() then return redis.error_reply('TIME is an argument under a test prefix alone') end
if not read(redis.call('GET', KEYS[1])) then return {LOST} end
sweep()
local opens_in = opening()
local asked_version = tonumber(ARGV[4])
if opens_in > 0 or asked_version < version or doubts > 0 then
    if dirty then write() end
    if opens_in > 0 then return {OPENING, opens_in} end
    if asked_version < version then return {STALE} end
    return {DOUBTFUL, doubts}
end
learn(asked_version, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))

local taken, denial, retry_after_s = 0, 0, 0
for i = 8, #ARGV, 3 do
    local outcome
    outcome, retry_after_s = take(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
    if outcome ~= ADMITTED then
        denial = outcome
        -- A price that the whole balance does not cover is not waited for.
        if denial ~= CREDITS then waited_for, dirty = 1, true end
        break
    end
    taken = taken + 1
end
if dirty then write() end
return {0, taken, slots, leases, denial, retry_after_s, woke, expires_in()}
