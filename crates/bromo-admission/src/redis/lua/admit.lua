-- One request: rate, then credits, then slots.
-- KEYS: 4 the rate window. ARGV: 4 to 7 version, slots, balance, place in the ledger; 8 the window's limit; 9 the lease
-- that is wanted, or nothing; 10 its hold; 11 how long such work usually takes, in ms.
-- Answers 0, outcome, left in the window, slots, leases, balance, seconds to wait, woke.

if not clock() then return redis.error_reply('TIME is an argument under a test prefix alone') end
local got = redis.call('MGET', KEYS[1], KEYS[4])
if not read(got[1]) then return {LOST} end
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

-- A clock that steps back opens no new window; a second more than one ahead is wrong, and is replaced.
local second, used, present = 0, 0, (now - now % 1000) / 1000
if got[2] then second, used = cmsgpack.unpack(got[2]) end
if present > second or second > present + 1 then second, used = present, 0 end
local limit, left, outcome, retry_after_s = tonumber(ARGV[8]), 0, COUNTED, 0
if used >= limit then
    outcome = RATE
else
    left = limit - used - 1
    redis.call('SET', KEYS[4], cmsgpack.pack(second, used + 1), 'EX', 10)
    if ARGV[9] ~= '' then outcome, retry_after_s = take(ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])) end
end
if dirty then write() end
return {0, outcome, left, slots, leases, balance, retry_after_s, woke}
