#!lua
-- Counts one batch of one (node, lane), exactly once: guard, increments and message in one step.
-- The script declares no flags, so Redis refuses it as a whole when it is out of memory, is a
-- replica, or can't write to its disk. Lua does not roll back, so everything that could fail is
-- checked before the first write.
--
-- KEYS  meta, guards, then one hash for each bucket
-- ARGV  run, seq, the batch that it follows on in the lane (its run, or nothing, and its seq),
--       channel, message, capacity of a breakdown, number of increments, the installation, then the
--       TTL of each bucket (seconds), then for each increment (bucket, field, increment), then for
--       each breakdown (bucket, field, breakdown as JSON)
-- Gives {0, seq} counted, {1, last} counted before, {2, last} gap, {3, 0} no generation, {4, 0}
--       another installation's lane; `last` is the last batch of the run that this lane has counted

-- A key of another type would make a write fail in the middle.
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a hash of ours')
  end
end
-- Without a generation the lane is being rebuilt, and must not count before it has its sums.
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then return {3, 0} end
local owner = redis.call('HGET', KEYS[1], 'installation')
if owner and owner ~= ARGV[9] then return {4, 0} end
local seq = tonumber(ARGV[2])
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
-- The guard: `judge` in src/live/mod.rs says the same.
if seq <= last then return {1, last} end
local after_run, after = ARGV[3], tonumber(ARGV[4])
local follows
if after_run == '' then
  follows = last == 0
elseif after_run == ARGV[1] then
  follows = last == after
else
  follows = last == 0 and tonumber(redis.call('HGET', KEYS[2], after_run) or 0) >= after
end
if not follows then return {2, last} end

-- Adds one breakdown to another and shaves off what is too much. src/domain/top.rs does the same,
-- so that mirrors and Redis agree.
local function merged(old, new, capacity)
  -- Something else in the field must not fail the script, so it is replaced.
  local read, top = pcall(cjson.decode, old)
  if not read or type(top) ~= 'table' or type(top.counts) ~= 'table' then return new end
  local more = cjson.decode(new)
  top.shaved = (tonumber(top.shaved) or 0) + more.shaved
  for value, count in pairs(more.counts) do
    top.counts[value] = (top.counts[value] or 0) + count
  end
  local counts = {}
  for _, count in pairs(top.counts) do counts[#counts + 1] = count end
  if #counts > capacity then
    table.sort(counts, function(a, b) return a > b end)
    local shave = counts[capacity + 1]
    for value, count in pairs(top.counts) do
      top.counts[value] = count > shave and count - shave or nil
    end
    top.shaved = top.shaved + shave
  end
  -- cjson writes a number of more than 14 digits as 1.5e+15, which is no whole number any more; and a Lua number
  -- is exact up to 2^53 only. A sum of money by value may be large.
  local written = {}
  for value, count in pairs(top.counts) do
    written[#written + 1] = cjson.encode(value) .. ':' .. string.format('%.0f', math.min(count, 2^53))
  end
  local shaved = string.format('%.0f', math.min(top.shaved, 2^53))
  return '{"counts":{' .. table.concat(written, ',') .. '},"shaved":' .. shaved .. '}'
end

-- A version of Floodmark that named no owner has counted here before.
if not owner then redis.call('HSET', KEYS[1], 'installation', ARGV[9]) end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local buckets = #KEYS - 2
local tops_from = 10 + buckets + 3 * tonumber(ARGV[8])
for i = 10 + buckets, tops_from - 1, 3 do
  local key, field, value = KEYS[2 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local reply = redis.pcall('HINCRBY', key, field, value)
  if type(reply) == 'table' and reply.err then
    -- The sum is beyond 64 bits. It stays at the end of the range, as it does in the mirrors.
    local limit = '9223372036854775807'
    if value:sub(1, 1) == '-' then limit = '-9223372036854775808' end
    redis.call('HSET', key, field, limit)
  end
end
for i = tops_from, #ARGV, 3 do
  local key, field, value = KEYS[2 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local old = redis.call('HGET', key, field)
  if old then value = merged(old, value, tonumber(ARGV[7])) end
  redis.call('HSET', key, field, value)
end
for i = 1, buckets do
  redis.call('EXPIRE', KEYS[2 + i], ARGV[9 + i])
end
-- The version is a Lua number, and '..' would write a large one as 1e+14.
redis.call('SPUBLISH', ARGV[5], generation .. ':' .. string.format('%.0f', version) .. ':' .. ARGV[6])
return {0, seq}
