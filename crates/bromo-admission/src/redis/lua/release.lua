-- Gives a lease back; again it does nothing.
-- Said: the lease; its hold; whether it was charged; then the balance after that and its place in the ledger.
-- Answers 0, woke.

local id, hold, charged, new_balance, new_seq = ...
if not read(redis.call('HGET', KEY, 'r')) then return answer(LOST) end
if redis.call('HDEL', KEY, id) == 1 then
    held, leases, dirty = held - hold, leases - 1, true
    if leases == 0 then first_expiry = 0 end
end
if charged then settle(new_balance, new_seq) end
if dirty then
    call_out()
    write()
end
return answer(0, woke)
