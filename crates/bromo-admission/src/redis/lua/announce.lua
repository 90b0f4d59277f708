-- A changed account is in force.
-- ARGV: 4 to 7 version, slots, balance, place in the ledger; 8 how many doubts there were before the store was asked, 0
-- if it was not. Answers 0, woke.

if not read(redis.call('GET', KEYS[1])) then return {LOST} end
learn(tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
if doubts > 0 and doubts == tonumber(ARGV[8]) then doubts, dirty = 0, true end
if dirty then write() end
return {0, woke}
