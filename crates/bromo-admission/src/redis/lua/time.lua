-- False where the time is an argument and must not be.
local function clock()
    if now == 0 then
        local time = redis.call('TIME')
        now = time[1] * 1000 + math.floor(time[2] / 1000)
        return true
    end
    return string.sub(KEY, 1, 5) == 'test:'
end

local function no_clock()
    return redis.error_reply('TIME is an argument under a test prefix alone')
end

-- A clock that steps back opens no new window; a second more than one ahead is wrong, and is replaced.
local function is_over(second)
    local present = (now - now % 1000) / 1000
    return present > second or second > present + 1
end

-- In pieces: what Lua can hand over at once is bounded.
local function remove(fields)
    for from = 1, #fields, 1000 do
        redis.call('HDEL', KEY, unpack(fields, from, math.min(from + 999, #fields)))
    end
end

-- Visits every lease, and forgets the windows that have long been over: so a look at everything costs no more than what has
-- come of late, beside the leases.
local function each_lease(visit)
    local all, over, long_over = redis.call('HGETALL', KEY), {}, now / 1000 - 10
    for i = 1, #all, 2 do
        local kind = string.sub(all[i], 1, 1)
        if kind == 'l' then
            visit(all[i], struct.unpack(LEASE, all[i + 1]))
        elseif kind == 'w' and (struct.unpack(WINDOW, all[i + 1])) < long_over then
            over[#over + 1] = all[i]
        end
    end
    remove(over)
end

-- Gives back what expired; true if there was a look at everything. Until the first expiry there is nothing to look for.
local function sweep()
    if first_expiry == 0 or now < first_expiry then return false end
    local expired, first = {}, 0
    each_lease(function(id, expiry, _, hold)
        if expiry <= now then
            expired[#expired + 1] = id
            held, leases = held - hold, leases - 1
            -- Its node may have charged it, and died before it said so.
            if hold > 0 then doubts = doubts + 1 end
        elseif first == 0 or expiry < first then
            first = expiry
        end
    end)
    first_expiry, dirty = first, true
    remove(expired)
    if #expired > 0 then call_out() end
    return true
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
