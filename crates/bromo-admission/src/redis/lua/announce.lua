-- A changed account is in force.
-- Said: version, slots, balance, place in the ledger; how many doubts there were before the store was asked, 0 if it was
-- not. Answers 0, woke.

local new_version, new_slots, new_balance, new_seq, known_doubts = ...
if not read(redis.call('HGET', KEY, 'r')) then return lost() end
learn(new_version, new_slots, new_balance, new_seq)
if doubts > 0 and doubts == known_doubts then doubts, dirty = 0, true end
if dirty then write() end
return answer(0, woke)
