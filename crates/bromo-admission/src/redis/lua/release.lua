-- Gives leases back; again it does nothing.
-- Said: the leases; the hold of each; whether any was charged; then the balance after the last charge and its place in the
-- ledger.
-- Answers 0, woke.

local ids, holds, charged, new_balance, new_seq = ...
local got = redis.call('HMGET', KEY, 'r', unpack(ids))
if not read(got[1]) then return lost() end
local there = {}
for i, id in ipairs(ids) do
    if got[i + 1] then
        there[#there + 1] = id
        held = held - holds[i]
    end
end
if #there > 0 then
    redis.call('HDEL', KEY, unpack(there))
    leases, dirty = leases - #there, true
    if leases == 0 then first_expiry = 0 end
end
if charged then settle(new_balance, new_seq) end
if dirty then
    call_out()
    write()
end
return answer(0, woke)
