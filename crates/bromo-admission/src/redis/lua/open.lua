-- Makes the record of an account that has just been made, and so has no running work anywhere.
-- Said: version, slots, balance, place in the ledger. Answers 0, woke.

if redis.call('EXISTS', KEY) == 0 then
    version, slots, balance, seq = ...
    held, leases, first_expiry, waited_for, opens_at, doubts, process = 0, 0, 0, 0, 0, 0, here
    write()
end
return answer(0, 0)
