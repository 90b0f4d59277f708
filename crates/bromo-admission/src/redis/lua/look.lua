-- What the account looks like, after what expired was given back.
-- Said: whether the counts are to be compared with the leases.
-- Answers 0, woke, slots, leases, held credits, balance, ms until the first lease may expire, whether the counts were
-- wrong, ms until the account opens.

local compare = ...
if not clock() then return no_clock() end
if not read(redis.call('HGET', KEY, 'r')) then return lost() end
sweep()
local opens_in, repaired = opening(), 0
if compare then
    local count, sum = 0, 0
    each_lease(function(_, _, _, hold) count, sum = count + 1, sum + hold end)
    if count ~= leases or sum ~= held then
        held, leases, repaired, dirty = sum, count, 1, true
        if first_expiry == 0 and leases > 0 then first_expiry = now end
        call_out()
    end
end
if dirty then write() end
return answer(0, woke, slots, leases, held, balance, expires_in(), repaired, opens_in)
