#!lua
-- Puts a new generation of one lane, which was staged beforehand, in the place of whatever was
-- there. What was staged may be gone again, because Redis was emptied in between or the staged
-- keys expired, so its size is checked before anything is written.
--
-- KEYS  meta, then (final, staged) for each hash
-- ARGV  generation, 'missing' (only where there is no generation, or another installation's) or
--       'force', channel, the installation, then for each pair (fields staged, TTL in seconds or 0 for ever)
-- Gives 1 installed, 0 there is a generation already, -1 what was staged is gone
local owner = redis.call('HGET', KEYS[1], 'installation')
if ARGV[2] == 'missing' and redis.call('HEXISTS', KEYS[1], 'generation') == 1
    and (not owner or owner == ARGV[4]) then
  return 0
end
local pairs_ = (#KEYS - 1) / 2
for i = 1, pairs_ do
  if redis.call('HLEN', KEYS[2 * i + 1]) ~= tonumber(ARGV[3 + 2 * i]) then return -1 end
end
-- Versions begin again: the generation before them tells the old ones from the new.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'version', 0, 'installation', ARGV[4])
for i = 1, pairs_ do
  local final, staged, ttl = KEYS[2 * i], KEYS[2 * i + 1], ARGV[4 + 2 * i]
  if ARGV[3 + 2 * i] == '0' then
    redis.call('DEL', final)
  else
    redis.call('RENAME', staged, final)
    if ttl == '0' then redis.call('PERSIST', final) else redis.call('EXPIRE', final, ttl) end
  end
end
-- Mirrors see a generation that is not theirs, and start over from the new counters.
redis.call('SPUBLISH', ARGV[3], ARGV[1] .. ':0:')
return 1
