-- Keeps leases for another while. What has expired stays so.
-- ARGV: from 4 the leases. Answers 0, woke, then the places (from 0) of those that are gone.

if not clock() then return redis.error_reply('TIME is an argument under a test prefix alone') end
if not read(redis.call('GET', KEYS[1])) then return {LOST} end
sweep()
local opens_in = opening()
local expiry, renewed, answer = now + LEASE_MS, {}, {0, 0}
for place, score in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(ARGV, 4))) do
    if score then
        renewed[#renewed + 1] = expiry
        renewed[#renewed + 1] = ARGV[place + 3]
    else
        answer[#answer + 1] = place - 1
    end
end
if #renewed > 0 then redis.call('ZADD', KEYS[2], 'XX', unpack(renewed)) end
if dirty then write() end
-- The node has yet to register them.
if opens_in > 0 and #answer > 2 then return {OPENING, opens_in} end
answer[2] = woke
return answer
