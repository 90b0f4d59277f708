-- False where the time is an argument and must not be.
local function clock()
    if ARGV[1] == '' then
        local time = redis.call('TIME')
        now = time[1] * 1000 + math.floor(time[2] / 1000)
        return true
    end
    now = tonumber(ARGV[1])
    return string.sub(KEYS[1], 1, 5) == 'test:'
end

-- Gives back what expired. Until the first expiry there is nothing to look for.
local function sweep()
    if first_expiry == 0 or now < first_expiry then return end
    local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
    for _, id in ipairs(expired) do
        redis.call('ZREM', KEYS[2], id)
        redis.call('ZREM', KEYS[3], id)
        local hold = hold_of(id)
        held, leases = held - hold, leases - 1
        -- Its node may have charged it, and died before it said so.
        if hold > 0 then doubts = doubts + 1 end
    end
    local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    first_expiry, dirty = tonumber(first[2] or 0), true
    if #expired > 0 then call_out() end
end

-- How long nothing is admitted yet, in ms.
local function opening()
    if opens_at == 0 then return 0 end
    if now < opens_at then return opens_at - now end
    opens_at, dirty = 0, true
    call_out()
    return 0
end

local function expires_in()
    if first_expiry == 0 then return 0 end
    return math.max(1, first_expiry - now)
end
