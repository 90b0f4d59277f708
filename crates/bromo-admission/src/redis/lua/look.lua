-- What the account looks like, after what expired was given back.
-- ARGV: 4 whether the counts are to be compared with the leases ('1').
-- Answers 0, woke, slots, leases, held credits, balance, ms until the first lease may expire, whether the counts were
-- wrong, ms until the account opens.

if not clock() then return redis.error_reply('TIME is an argument under a test prefix alone') end
if not read(redis.call('GET', KEYS[1])) then return {LOST} end
sweep()
local opens_in, repaired = opening(), 0
if ARGV[4] == '1' then
    local ids, sum = redis.call('ZRANGE', KEYS[2], 0, -1), 0
    for _, id in ipairs(ids) do sum = sum + hold_of(id) end
    if #ids ~= leases or sum ~= held or redis.call('ZCARD', KEYS[3]) ~= #ids then
        local known = {}
        for _, id in ipairs(ids) do
            known[id] = true
            redis.call('ZADD', KEYS[3], 'NX', now, id)
        end
        for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
            if not known[id] then redis.call('ZREM', KEYS[3], id) end
        end
        held, leases, repaired, dirty = sum, #ids, 1, true
        if first_expiry == 0 and leases > 0 then first_expiry = now end
        call_out()
    end
end
if dirty then write() end
return {0, woke, slots, leases, held, balance, expires_in(), repaired, opens_in}
