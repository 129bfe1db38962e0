#!lua
-- Tries every command that counting needs, on keys that nothing else uses and that are gone at the
-- end, so that a user who lacks one of them is noticed before the first event.
--
-- KEYS  two keys of a lane
-- ARGV  a channel of that lane that nobody reads
local key, other = KEYS[1], KEYS[2]
redis.call('DEL', key, other)
redis.call('HSET', key, 'a', 1)
redis.call('HSETNX', key, 'b', 1)
redis.call('HINCRBY', key, 'a', 1)
redis.call('HGET', key, 'a')
redis.call('HMGET', key, 'a', 'b')
redis.call('HGETALL', key)
redis.call('HEXISTS', key, 'a')
redis.call('HKEYS', key)
redis.call('HLEN', key)
redis.call('HSCAN', key, 0)
redis.call('HDEL', key, 'a')
redis.call('EXPIRE', key, 60)
redis.call('PEXPIRE', key, 60000)
redis.call('PERSIST', key)
redis.call('TYPE', key)
redis.call('EXISTS', key)
redis.call('RENAME', key, other)
redis.call('UNLINK', other)
redis.call('SADD', key, 'a')
redis.call('SCARD', key)
redis.call('SMEMBERS', key)
redis.call('DEL', key)
redis.call('PFADD', key, 'a')
redis.call('PFCOUNT', key)
redis.call('DEL', key)
redis.call('ZADD', key, 1, 'a')
redis.call('ZREMRANGEBYSCORE', key, 0, 0)
redis.call('ZCARD', key)
redis.call('ZSCORE', key, 'a')
redis.call('ZREM', key, 'a')
redis.call('DEL', key)
redis.call('SET', key, 1)
redis.call('GET', key)
redis.call('DEL', key)
redis.call('SPUBLISH', ARGV[1], '')
return 1
