#!lua flags=no-writes
-- Reads the counters of one lane with the position they stand at.
--
-- KEYS  meta, then one hash a bucket
-- Gives {generation or '', version, {each hash as a flat list}}
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then return {'', 0, {}} end
local hashes = {}
for i = 2, #KEYS do
  hashes[i - 1] = redis.call('HGETALL', KEYS[i])
end
return {generation, tonumber(redis.call('HGET', KEYS[1], 'version') or 0), hashes}
