#!lua
-- Gives back what one request has claimed, and what a claim of it that is still on its way
-- would.
--
-- KEYS  given up (a mark that such a claim looks for), then one string an id
-- ARGV  node, its run, the request, TTL (ms) of the mark
local mine = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]
redis.call('SET', KEYS[1], '1', 'PX', ARGV[4])
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == mine then redis.call('DEL', KEYS[i]) end
end
return #KEYS
