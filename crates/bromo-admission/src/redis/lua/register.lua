-- Brings back what was lost: a node's leases of one account. The first to come makes the record; the account opens
-- when every node that lived then has come, or when all leases of the time before must have ended.
--
-- Who registers says when the record was made that it saw. For an account may come back to a server that it left, and
-- what was sent there before lacks what has begun since.
-- Said: when that was, 0 if there was none; version, slots, balance, place in the ledger, from the store, or false from a
-- node that only heard of it; the nodes that live; the leases; the hold and the usual duration in ms of each.
-- Answers 0, woke, ms until the account opens, then the places (from 0) of leases that are gone.

local seen, new_version, new_slots, new_balance, new_seq, living, ids, holds, usual_ms = ...
if not clock() then return no_clock() end
local record = redis.call('HGET', KEY, 'r')
local known = read(record)
if seen ~= made_at or not (known or new_version) then return lost() end
local lives, waited = {}, {}
for _, name in ipairs(living) do lives[name] = true end
if not known then
    redis.call('DEL', KEY)
    if not record then version, slots, balance, seq = -1, 0, 0, -1 end
    held, leases, first_expiry, waited_for, opens_at, doubts, process = 0, 0, 0, 0, now + LEASE_MS, 0, here
    made_at = math.max(now, made_at + 1)
    waited = living
    publish('R')
else
    sweep()
    local stored = redis.call('HGET', KEY, 'n')
    if stored then waited = cmsgpack.unpack(stored) end
end
if new_version then learn(new_version, new_slots, new_balance, new_seq) end
if not known then waited_for = 1 end -- Who waited in the lost record is not known: all are called out.
-- Nodes that have ended since are not waited for.
local still = {}
for _, name in ipairs(waited) do
    if name ~= node and (not new_version or lives[name]) then still[#still + 1] = name end
end
local opens_in = opening()
local gone, fields = {}, {}
for i, id in ipairs(ids) do
    local lease_here = redis.call('HGET', KEY, id)
    if lease_here then
        fields[#fields + 1] = id
        fields[#fields + 1] = prolonged(lease_here)
    elseif opens_in > 0 then
        fields[#fields + 1] = id
        fields[#fields + 1] = lease(holds[i], usual_ms[i])
        count(holds[i])
    else
        gone[#gone + 1] = i - 1
    end
end
for from = 1, #fields, 1000 do
    redis.call('HSET', KEY, unpack(fields, from, math.min(from + 999, #fields)))
end
if opens_in > 0 and #still == 0 then
    opens_at, opens_in = 0, 0
    publish('O')
    call_out()
end
if opens_in > 0 then redis.call('HSET', KEY, 'n', cmsgpack.pack(still)) else redis.call('HDEL', KEY, 'n') end
write()
return answer_with_places(gone, 0, woke, opens_in)
