#!lua flags=no-writes
-- Reads one page of one bucket hash, with the version that the lane has at that moment. A field that
-- is there from the first page to the last is on one of them at least.
--
-- KEYS  meta, the hash
-- ARGV  generation, cursor, about how many fields
-- Gives {version, next cursor, fields and values as a flat list}, or {-1, '0', {}} where the lane
--       has another generation
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1, '0', {}} end
local page = redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
return {tonumber(redis.call('HGET', KEYS[1], 'version') or 0), page[1], page[2]}
