#!lua
-- Claims ids for one request of one run of a node, or says in which state they are. It claims all
-- new ids of a shard or, where one of them is undecided, none.
--
-- KEYS  nodes (hash: node -> its run), given up (see release.lua), owing (see owe.lua), then one
--       string for each id
-- ARGV  node, its run, the request, TTL (ms)
-- Gives for each id 0 claimed, 1 kept: it is on a disk, 2 undecided: another request has claimed
-- it and has not said yet what became of it; or {-1}, where the run is not registered here,
-- or {-2}, where another node has not yet told again which ids it has. Before all nodes have told all
-- their ids, nobody can know which are new.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {-1} end
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return {-1} end
if redis.call('EXISTS', KEYS[3]) == 1 then return {-2} end
local mine = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]
local found, undecided = {}, false
for i = 4, #KEYS do
  local value, state = redis.call('GET', KEYS[i]), 0
  -- A key is the id, the type of the event, and the mark of a page or a webhook, with a NUL between
  -- them. An id that the shop has sent stands without a mark, and is not taken once more from a page.
  -- Earlier versions wrote the id alone. Both are what stands before some NUL.
  local behind = 1
  while not value do
    behind = string.find(KEYS[i], '\0', behind, true)
    if not behind then break end
    value = redis.call('GET', string.sub(KEYS[i], 1, behind - 1))
    behind = behind + 1
  end
  if value == '1' then
    state = 1
  elseif value and value ~= mine then
    -- Another request has claimed it. If that request's run is registered, it may still be
    -- writing. If not, the run has ended, and its successor, before it registered, has told which
    -- ids reached the disk. This id is not among them, so it is free.
    local node, run = string.match(value, '^([^:]*):([^:]*):')
    if not node or redis.call('HGET', KEYS[1], node) == run then
      state, undecided = 2, true
    end
  end
  found[i - 3] = state
end
-- Where the request has given up, its node has stopped waiting for this answer. It would never
-- release the ids, so they are not claimed.
if undecided or redis.call('EXISTS', KEYS[2]) == 1 then return found end
for i = 4, #KEYS do
  if found[i - 3] == 0 then redis.call('SET', KEYS[i], mine, 'PX', ARGV[4]) end
end
return found
