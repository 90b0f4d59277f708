-- Gives a lease back; again it does nothing.
-- ARGV: 4 the lease; 5 the balance after its charge, or nothing; 6 its place in the ledger. Answers 0, woke.

if not read(redis.call('GET', KEYS[1])) then return {LOST} end
if redis.call('ZREM', KEYS[2], ARGV[4]) == 1 then
    redis.call('ZREM', KEYS[3], ARGV[4])
    held, leases, dirty = held - hold_of(ARGV[4]), leases - 1, true
    if leases == 0 then first_expiry = 0 end
end
if ARGV[5] ~= '' then settle(tonumber(ARGV[5]), tonumber(ARGV[6])) end
if dirty then
    call_out()
    write()
end
return {0, woke}
