#!lua
-- Notes which session each user was seen with. A user who is among the active ones is taken out of them:
-- the session stands for both.
--
-- KEYS    active visitors, links of this generation, links of the one before
-- ARGV    TTL of the active visitors and of the links in ms, then user, session, user, session, ...
-- Answer  session, time, session, time, ... of those who were taken out
local moved = {}
for i = 3, #ARGV, 2 do
  local seen = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if seen then
    redis.call('ZREM', KEYS[1], ARGV[i])
    moved[#moved + 1] = ARGV[i + 1]
    moved[#moved + 1] = seen
  end
end
-- The links are added in pieces, since `unpack` puts them on Lua's stack, which is limited.
for i = 3, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return moved
