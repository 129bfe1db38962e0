#!lua
-- Notes users who were seen without a session. A user whose session is known is that visitor, and is not
-- noted here.
--
-- KEYS    active visitors, links of this generation, links of the one before
-- ARGV    TTL of the active visitors and of the links in ms, then user, time, user, time, ...
-- Answer  session, time, session, time, ... of those whose session is known
local moved = {}
for i = 3, #ARGV, 2 do
  local session = redis.call('HGET', KEYS[2], ARGV[i])
  if not session then
    session = redis.call('HGET', KEYS[3], ARGV[i])
    if session then
      -- A link that is used stays.
      redis.call('HSET', KEYS[2], ARGV[i], session)
      redis.call('PEXPIRE', KEYS[2], ARGV[2])
    end
  end
  if session then
    moved[#moved + 1] = session
    moved[#moved + 1] = ARGV[i + 1]
  else
    -- With GT, an older sighting that arrives late changes nothing.
    redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i])
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
  end
end
return moved
