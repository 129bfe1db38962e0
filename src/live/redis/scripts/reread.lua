#!lua flags=no-writes
-- Reads some fields of one bucket hash, with the version that the lane has at that moment.
--
-- KEYS  meta, the hash
-- ARGV  generation, then the fields
-- Gives {version, the value of each field}, or {-1, {}} where the lane has another generation
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1, {}} end
local values = redis.call('HMGET', KEYS[2], unpack(ARGV, 2))
return {tonumber(redis.call('HGET', KEYS[1], 'version') or 0), values}
