-- Makes the record of an account that has just been made, and so has no running work anywhere.
-- ARGV: 4 to 7 version, slots, balance, place in the ledger. Answers 0, woke.

if redis.call('EXISTS', KEYS[1]) == 0 then
    version, slots, balance, seq = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
    held, leases, first_expiry, waited_for, opens_at, doubts, process = 0, 0, 0, 0, 0, 0, ARGV[2]
    write()
end
return {0, 0}
