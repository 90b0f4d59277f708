local COUNTED, ADMITTED, RATE, CREDITS, CREDITS_HELD, SLOTS = 0, 1, 2, 3, 4, 5
-- When the first slot comes free is an estimate, and is looked up no more often, in ms.
local USUAL_MS = 1000

-- Of what is written: to be asked after that.
local function retry_after_s(outcome)
    if outcome ~= SLOTS then return 0 end
    local known, first, seen = redis.call('HGET', KEY, 'u'), 0, 0
    if known then first, seen = struct.unpack(USUAL, known) end
    if now < seen or now >= seen + USUAL_MS then
        first = 0
        each_lease(function(_, _, usual)
            if first == 0 or usual < first then first = usual end
        end)
        redis.call('HSET', KEY, 'u', struct.pack(USUAL, first, now))
    end
    return math.max(1, math.min(30, math.ceil((first - now) / 1000)))
end

local function lease(hold, usual_ms)
    return struct.pack(LEASE, now + LEASE_MS, now + usual_ms, hold)
end

local function prolonged(known)
    local _, usual, hold = struct.unpack(LEASE, known)
    return struct.pack(LEASE, now + LEASE_MS, usual, hold)
end

local function count(hold)
    held, leases, dirty = held + hold, leases + 1, true
    if first_expiry == 0 then first_expiry = now + LEASE_MS end
end

-- Credits, then slots: the outcome. A lease that is here already (its node registered it before its ask came through) is
-- counted already.
local function take(hold, is_here)
    if balance - held < hold then return balance >= hold and CREDITS_HELD or CREDITS end
    if leases >= slots then return SLOTS end
    if not is_here then count(hold) end
    return ADMITTED
end

-- What every ask begins with: an answer if that is all.
local function turn_away(opens_in, asked_version)
    if opens_in == 0 and asked_version >= version and doubts == 0 then return nil end
    if dirty then write() end
    if opens_in > 0 then return answer(OPENING, opens_in, made_at) end
    if asked_version < version then return answer(STALE) end
    return answer(DOUBTFUL, doubts)
end
