-- Tasks that want to start: credits, then slots, for one after the other until the first that may not.
-- Said: version, slots, balance, place in the ledger; the leases; the hold and the usual duration in ms of each.
-- Answers 0, how many were taken, slots, leases, why the next was not (0 if all were), seconds to wait, woke,
-- ms until the first lease may expire.

local asked_version, asked_slots, asked_balance, asked_seq, ids, holds, usual_ms = ...
if not clock() then return no_clock() end
local got = redis.call('HMGET', KEY, 'r', unpack(ids))
if not read(got[1]) then return lost() end
if sweep() then got = redis.call('HMGET', KEY, 'r', unpack(ids)) end
local turned_away = turn_away(opening(), asked_version)
if turned_away then return turned_away end
learn(asked_version, asked_slots, asked_balance, asked_seq)

local taken, denial, fields = 0, 0, {}
for i, id in ipairs(ids) do
    local outcome = take(holds[i], got[i + 1])
    if outcome ~= ADMITTED then
        denial = outcome
        -- A price that the whole balance does not cover is not waited for.
        if denial ~= CREDITS then waited_for, dirty = 1, true end
        break
    end
    taken = taken + 1
    if not got[i + 1] then
        fields[#fields + 1] = id
        fields[#fields + 1] = lease(holds[i], usual_ms[i])
    end
end
if dirty then redis.call('HSET', KEY, 'r', packed(), unpack(fields)) end
return answer(0, taken, slots, leases, denial, retry_after_s(denial), woke, expires_in())
