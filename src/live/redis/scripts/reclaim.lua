#!lua
-- Claims once more what a request had claimed before the server lost it. An id that is kept, or
-- claimed by another, stays as it is. Where the request has given up, nothing is claimed: nobody
-- would release it.
--
-- KEYS  given up (see release.lua), then one string for each id
-- ARGV  node, its run, the request, TTL (ms)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local mine = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]
for i = 2, #KEYS do redis.call('SET', KEYS[i], mine, 'NX', 'PX', ARGV[4]) end
return #KEYS - 1
