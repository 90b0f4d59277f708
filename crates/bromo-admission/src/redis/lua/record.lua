-- bromo admission, layout 1: what all scripts have in common. They are one library of functions, so that nothing is made
-- anew for a call; `begin` sets what the last call left.
--
-- KEYS: 1 the account, a hash of
--   r             its record
--   l NODE NUMBER a running call's lease: when it expires, when such work is usually done, what it holds
--   w KEY ROUTE   a rate window: its second, and how many requests it has had
--   u             when the first of the running calls is usually done, and when that was looked up
--   n             the nodes that are waited for before a lost account opens
-- so that a decision reads with one command and writes with one, however much it touches. `each_lease` reads all of it,
-- which is needed seldom.
--
-- ARGV: 1 everything else, packed: the time under a test prefix, else 0; the server process that the asker is connected to;
-- the node that asks; then what each script says.
--
-- The record: version, slots, balance, its place in the ledger; held credits and leases (so that a decision need
-- not add them up); a time before which no lease expires, 0 without leases; whether a denied task waits; when the
-- account opens, 0 once it is open; how often holds expired since the store was last asked; and the server process that
-- vouches for it all, and when the record was made, which no other of the account has. A record of another process came
-- out of a snapshot, a replica or another server of a cluster and may lack leases, so it counts as lost.
--
-- Answers are numbers, eight bytes each. They begin with 0, or 1: the ask is stale, 2: the record is lost, which was made
-- then (0 without one), 3: the account opens in so many ms, its record was made then, 4: holds expired so often, and what
-- they were charged may not be known here.

local KEY
local LEASE_MS = 10000
local STALE, LOST, OPENING, DOUBTFUL = 1, 2, 3, 4
local RECORD, LEASE, WINDOW, USUAL = '<ddddddddddds', '<ddd', '<dd', '<dd'
local version, slots, balance, seq, held, leases, first_expiry, waited_for, opens_at, doubts, made_at, process
local now, here, node
local dirty, woke

local function begin(key, at, asked_process, asked_node)
    KEY, now, here, node, dirty, woke, made_at = key, at, asked_process, asked_node, false, 0, 0
end

local function read(packed)
    if not packed then return false end
    version, slots, balance, seq, held, leases, first_expiry, waited_for, opens_at, doubts, made_at, process =
        struct.unpack(RECORD, packed)
    return process == here
end

local function packed()
    return struct.pack(RECORD, version, slots, balance, seq, held, leases, first_expiry, waited_for, opens_at, doubts, made_at,
        process)
end

local function write()
    redis.call('HSET', KEY, 'r', packed())
end

local FORMATS = {'<d', '<dd', '<ddd', '<dddd', '<ddddd', '<dddddd', '<ddddddd', '<dddddddd', '<ddddddddd'}

local function answer(...)
    return struct.pack(FORMATS[select('#', ...)], ...)
end

local function answer_with_places(places, ...)
    local packed_places = {answer(...)}
    for i, place in ipairs(places) do packed_places[i + 1] = answer(place) end
    return table.concat(packed_places)
end

local function lost()
    return answer(LOST, made_at)
end

local function publish(word)
    local prefix, account = string.match(KEY, '^(.*){(%x+)}')
    redis.call('PUBLISH', prefix .. 'bus', string.format('%s %s %s %.0f', node, word, account, made_at))
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
