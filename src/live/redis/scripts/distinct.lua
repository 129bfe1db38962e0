#!lua
-- Notes values of a distinct metric. While they are few, a set has each of them. Once the set is
-- full, a HyperLogLog takes its place.
--
-- KEYS  set, HyperLogLog
-- ARGV  how many the set may hold, TTL in seconds, then the values
local hll = redis.call('EXISTS', KEYS[2]) == 1
-- The values are added in pieces, since `unpack` puts them on Lua's stack, which is limited.
for i = 3, #ARGV, 1000 do
  local upto = math.min(i + 999, #ARGV)
  if hll then
    redis.call('PFADD', KEYS[2], unpack(ARGV, i, upto))
  else
    redis.call('SADD', KEYS[1], unpack(ARGV, i, upto))
  end
end
-- The set is full: its values move to the HyperLogLog.
if not hll and redis.call('SCARD', KEYS[1]) > tonumber(ARGV[1]) then
  local all = redis.call('SMEMBERS', KEYS[1])
  for i = 1, #all, 1000 do
    redis.call('PFADD', KEYS[2], unpack(all, i, math.min(i + 999, #all)))
  end
  redis.call('DEL', KEYS[1])
  hll = true
end
redis.call('EXPIRE', hll and KEYS[2] or KEYS[1], ARGV[2])
return redis.status_reply('OK')
