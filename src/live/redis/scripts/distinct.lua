#!lua
-- Notes values of a distinct metric: one by one in a set while these are few, in a
-- HyperLogLog from then on.
--
-- KEYS  set, HyperLogLog
-- ARGV  how many the set may hold, TTL in seconds, then the values
local hll = redis.call('EXISTS', KEYS[2]) == 1
-- In pieces: a call takes only so many arguments from Lua's stack.
for i = 3, #ARGV, 1000 do
  local upto = math.min(i + 999, #ARGV)
  if hll then
    redis.call('PFADD', KEYS[2], unpack(ARGV, i, upto))
  else
    redis.call('SADD', KEYS[1], unpack(ARGV, i, upto))
  end
end
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
