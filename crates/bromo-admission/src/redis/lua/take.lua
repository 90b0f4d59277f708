local COUNTED, ADMITTED, RATE, CREDITS, CREDITS_HELD, SLOTS = 0, 1, 2, 3, 4, 5

-- Credits, then slots. A lease that is here already (a node registered it before its ask came through) is counted
-- already.
local function take(id, hold, usual_ms)
    if balance - held < hold then return balance >= hold and CREDITS_HELD or CREDITS, 0 end
    if leases >= slots then
        local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
        local seconds = first[2] and math.ceil((first[2] - now) / 1000) or 1
        return SLOTS, math.max(1, math.min(30, seconds))
    end
    local expiry = now + LEASE_MS
    if redis.call('ZADD', KEYS[2], 'NX', expiry, id) == 1 then
        redis.call('ZADD', KEYS[3], now + usual_ms, id)
        held, leases, dirty = held + hold, leases + 1, true
        if first_expiry == 0 then first_expiry = expiry end
    end
    return ADMITTED, 0
end
