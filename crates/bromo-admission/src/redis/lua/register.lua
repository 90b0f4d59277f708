-- Brings back what was lost: a node's leases of one account. The first to come makes the record; the account opens
-- when every node that lived then has come, or when all leases of the time before must have ended.
-- KEYS: 4 the nodes that are still waited for. ARGV: 4 to 7 version, slots, balance, place in the ledger, from the store,
-- or nothing from a node that only heard of it; 8 how many nodes live, from 9 their names; then lease and usual
-- duration in ms of each.
-- Answers 0, woke, ms until the account opens, then the places (from 0) of leases that are gone.

if not clock() then return redis.error_reply('TIME is an argument under a test prefix alone') end
local packed = redis.call('GET', KEYS[1])
local known = read(packed)
local facts = ARGV[4] ~= ''
local living = tonumber(ARGV[8])
if not known then
    if not facts then return {LOST} end
    redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
    if not packed then version, slots, balance, seq = -1, 0, 0, -1 end
    held, leases, first_expiry, waited_for, opens_at, doubts, process =
        0, 0, 0, 0, now + LEASE_MS, 0, ARGV[2]
    for i = 9, 8 + living do redis.call('SADD', KEYS[4], ARGV[i]) end
    redis.call('EXPIRE', KEYS[4], 60)
    publish('R')
else
    sweep()
end
dirty = true
if facts then
    learn(tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
    -- Nodes that have ended since are not waited for.
    local lives = {}
    for i = 9, 8 + living do lives[ARGV[i]] = true end
    for _, node in ipairs(redis.call('SMEMBERS', KEYS[4])) do
        if not lives[node] then redis.call('SREM', KEYS[4], node) end
    end
end
if not known then waited_for = 1 end -- Who waited in the lost record is not known: all are called out.
redis.call('SREM', KEYS[4], ARGV[3])
local opens_in = opening()
local expiry, answer = now + LEASE_MS, {0, 0, 0}
for i = 9 + living, #ARGV, 2 do
    local id = ARGV[i]
    if redis.call('ZSCORE', KEYS[2], id) then
        redis.call('ZADD', KEYS[2], 'XX', expiry, id)
    elseif opens_in > 0 then
        redis.call('ZADD', KEYS[2], expiry, id)
        redis.call('ZADD', KEYS[3], now + tonumber(ARGV[i + 1]), id)
        held, leases = held + hold_of(id), leases + 1
        if first_expiry == 0 then first_expiry = expiry end
    else
        answer[#answer + 1] = (i - 9 - living) / 2
    end
end
if opens_in > 0 and redis.call('SCARD', KEYS[4]) == 0 then
    opens_at, opens_in = 0, 0
    publish('O')
    call_out()
end
write()
answer[2], answer[3] = woke, opens_in
return answer
