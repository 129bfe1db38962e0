#!lua flags=no-writes
-- Reads the counters of one lane, with the generation and version that they have reached. It is a
-- script so that all of it is of the same moment.
--
-- KEYS  meta, then one hash for each bucket
-- Gives {generation or '', version, {each hash as a flat list}}
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then return {'', 0, {}} end
local hashes = {}
for i = 2, #KEYS do
  hashes[i - 1] = redis.call('HGETALL', KEYS[i])
end
return {generation, tonumber(redis.call('HGET', KEYS[1], 'version') or 0), hashes}
