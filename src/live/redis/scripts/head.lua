#!lua
-- The last batch of a node that one lane has counted; -1 where the lane has no
-- generation. Declared as a writing script on purpose: Redis refuses it in every state in
-- which it would refuse a write.
--
-- KEYS  meta, guards
-- ARGV  node
if redis.call('HEXISTS', KEYS[1], 'generation') == 0 then return -1 end
return tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
