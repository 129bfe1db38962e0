#!lua
-- Takes a lease that is free, or renews it where the holder has it already.
--
-- KEYS  the lease
-- ARGV  holder, TTL (ms)
-- Gives 1 where the holder has the lease now, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
