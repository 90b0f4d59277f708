-- A changed account is in force.
-- ARGV: 4 to 7 version, slots, balance, place in the ledger. Answers 0, woke.

if not read(redis.call('GET', KEYS[1])) then return {LOST} end
learn(tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
if dirty then write() end
return {0, woke}
