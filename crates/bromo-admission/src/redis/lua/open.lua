-- Makes the record of an account that has just been made, and so has no running work anywhere.
-- Said: version, slots, balance, place in the ledger. Answers 0, woke.

if not clock() then return no_clock() end
if redis.call('EXISTS', KEY) == 0 then
    version, slots, balance, seq = ...
    held, leases, first_expiry, waited_for, opens_at, doubts, made_at, process = 0, 0, 0, 0, 0, 0, now, here
    write()
end
return answer(0, 0)
