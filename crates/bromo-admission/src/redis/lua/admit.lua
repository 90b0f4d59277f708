-- One request: rate, then credits, then slots.
-- Said: version, slots, balance, place in the ledger; the window and its limit; the lease that is wanted, or false; its
-- hold; how long such work usually takes, in ms.
-- Answers 0, outcome, left in the window, slots, leases, balance, seconds to wait, woke.

local asked_version, asked_slots, asked_balance, asked_seq, window, limit, id, hold, usual_ms = ...
if not clock() then return no_clock() end
local got = redis.call('HMGET', KEY, 'r', window)
if not read(got[1]) then return lost() end
if sweep() then got[2] = redis.call('HGET', KEY, window) end
local turned_away = turn_away(opening(), asked_version)
if turned_away then return turned_away end
learn(asked_version, asked_slots, asked_balance, asked_seq)

local second, used = 0, 0
if got[2] then second, used = struct.unpack(WINDOW, got[2]) end
if is_over(second) then second, used = (now - now % 1000) / 1000, 0 end
if used >= limit then
    if dirty then write() end
    return answer(0, RATE, 0, slots, leases, balance, 0, woke)
end
local counted, outcome = struct.pack(WINDOW, second, used + 1), COUNTED
if id then outcome = take(hold, false) end
if outcome == ADMITTED then
    local new = redis.call('HSET', KEY, 'r', packed(), window, counted, id, lease(hold, usual_ms))
    if new == (got[2] and 0 or 1) then
        -- The lease is here already: its node registered it before its ask came through.
        held, leases = held - hold, leases - 1
        write()
    end
elseif dirty then
    redis.call('HSET', KEY, 'r', packed(), window, counted)
else
    redis.call('HSET', KEY, window, counted)
end
return answer(0, outcome, limit - used - 1, slots, leases, balance, retry_after_s(outcome), woke)
