#!lua
-- Gives the last batch of a run that one lane has counted, -1 where the lane has no
-- generation, or -2 where it is another installation's. It does not write, but it leaves out the flag `no-writes` on purpose: Redis then
-- refuses it in every state in which it would refuse a write, which is what a check wants to know.
--
-- KEYS  meta, guards
-- ARGV  run, and the installation where it is to be compared
if redis.call('HEXISTS', KEYS[1], 'generation') == 0 then return -1 end
local owner = redis.call('HGET', KEYS[1], 'installation')
if ARGV[2] and owner and owner ~= ARGV[2] then return -2 end
return tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
