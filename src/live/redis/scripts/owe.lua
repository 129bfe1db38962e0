#!lua
-- Notes that every node of a shard has to tell its ids again, since this server may lack the last of
-- them. Each node calls the script by its hash first, with 'known': a server that knows it has been
-- through this already.
--
-- KEYS  nodes (hash: node -> its run), owing (hash: node -> 1)
-- ARGV  'known' or 'new', how long nodes are waited for (ms)
if ARGV[1] == 'known' then return 0 end
local nodes = redis.call('HKEYS', KEYS[1])
for _, node in ipairs(nodes) do redis.call('HSET', KEYS[2], node, 1) end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return #nodes
