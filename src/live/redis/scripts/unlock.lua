#!lua
-- Lets go of a lock or a lease, if the holder still has it: it may have expired, and another may
-- have it now.
--
-- KEYS  the lock
-- ARGV  holder
-- Gives 1 where it let go, else 0
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
