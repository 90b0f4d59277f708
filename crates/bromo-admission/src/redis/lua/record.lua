-- bromo admission, layout 1: what all scripts have in common. They are one library of functions, so that nothing is made
-- anew for a call; `begin` sets what the last call left.
--
-- KEYS: 1 the account's record, 2 its leases by expiry, 3 its leases by usual end.
-- ARGV: 1 the time under a test prefix, else nothing; 2 the server process that the asker is connected to;
-- 3 the node that asks.
--
-- The record: version, slots, balance, its place in the ledger; held credits and leases (so that a decision need
-- not add them up); a time before which no lease expires, 0 without leases; whether a denied task waits; when the
-- account opens, 0 once it is open; how often holds expired since the store was last asked; and the server process that
-- vouches for it all. A record of another process came out of a snapshot or a replica and may lack leases, so it counts
-- as lost.
--
-- Answers begin with 0, or 1: the ask is stale, 2: the record is lost, 3: the account opens in so many ms, 4: holds
-- expired so often, and what they were charged may not be known here.

local KEYS, ARGV
local LEASE_MS = 10000
local STALE, LOST, OPENING, DOUBTFUL = 1, 2, 3, 4
local version, slots, balance, seq, held, leases, first_expiry, waited_for, opens_at, doubts, process
local now
local dirty, woke

local function begin(keys, args)
    KEYS, ARGV, dirty, woke = keys, args, false, 0
end

local function read(packed)
    if not packed then return false end
    version, slots, balance, seq, held, leases, first_expiry, waited_for, opens_at, doubts, process =
        cmsgpack.unpack(packed)
    return process == ARGV[2]
end

local function write()
    redis.call('SET', KEYS[1], cmsgpack.pack(version, slots, balance, seq, held, leases, first_expiry, waited_for,
        opens_at, doubts, process))
end

local function publish(word)
    local prefix, account = string.match(KEYS[1], '^(.*){(%x+)}')
    redis.call('PUBLISH', prefix .. 'bus', ARGV[3] .. ' ' .. word .. ' ' .. account)
end

-- What a denied task waited for may have come.
local function call_out()
    if waited_for == 1 then
        waited_for, woke, dirty = 0, 1, true
        publish('W')
    end
end

local function settle(new_balance, new_seq)
    if new_seq > seq then balance, seq, dirty = new_balance, new_seq, true end
end

-- Limits go by the account's version, balances by their place in the ledger.
local function learn(new_version, new_slots, new_balance, new_seq)
    settle(new_balance, new_seq)
    if new_version > version then
        version, slots, dirty = new_version, new_slots, true
        call_out()
    end
end

-- A lease's id ends with what it holds.
local function hold_of(id)
    return tonumber(string.match(id, '(%d+)$'))
end
