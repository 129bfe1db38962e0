#!lua
-- Gives back the ids that one request has claimed. A claim of that request may still be on its way,
-- after a timeout say, so a mark is left that makes such a claim take nothing.
--
-- KEYS  given up (the mark, which claim.lua looks for), then one string for each id
-- ARGV  node, its run, the request, TTL (ms) of the mark
local mine = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]
redis.call('SET', KEYS[1], '1', 'PX', ARGV[4])
for i = 2, #KEYS do
  -- An id that another request has, or that is kept, stays.
  if redis.call('GET', KEYS[i]) == mine then redis.call('DEL', KEYS[i]) end
end
return #KEYS
