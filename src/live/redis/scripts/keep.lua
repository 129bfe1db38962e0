#!lua
-- Notes that events with these ids are on a node's disk, whoever had claimed them: that is certain.
--
-- KEYS  one string for each id
-- ARGV  TTL (ms) of each
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], '1', 'PX', ARGV[i])
end
return #KEYS
