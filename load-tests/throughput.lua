-- A script for wrk: requests of BATCH events each (default 100), prepared once. Mix and sizes are
-- a shop's: mostly page views, some purchases, errors and signups, from 5,000 sessions.
-- DIALECT=segment sends the same events as a Segment SDK does, to /v1/batch.
-- RATE events a second in all (default 0: as fast as answers come); needs wrk -t1.
local ffi = require("ffi")
local size = tonumber(os.getenv("BATCH") or "100")
local rate = tonumber(os.getenv("RATE") or "0")
local segment = os.getenv("DIALECT") == "segment"
local path = segment and "/v1/batch" or "/v1/events"
local bodies = {}

-- What Segment's SDKs call these types, and where they have the parts. Its ids are left out, as those of the
-- other dialect are: they would be the same in each round, and duplicates cost less than events.
local names = { purchase = "Order Completed", error = "Checkout Error", signup = "Signed Up" }
local function in_segments_words(event)
  event = event:gsub('"amount":', '"total":'):gsub('"sessionId":', '"anonymousId":')
  event = event:gsub('"type":"([%w_]+)"', function(kind)
    if kind == "page_view" then return '"type":"page","name":"Shop"' end
    return '"type":"track","event":"' .. names[kind] .. '"'
  end)
  local context = '"context":{"library":{"name":"@segment/analytics-node","version":"2.3.0"}},"integrations":{}'
  return event:sub(1, -2) .. "," .. context .. "}"
end

local function event(n)
  local session = string.format('"sessionId":"s%06d"', math.random(5000))
  local draw = math.random()
  if draw < 0.03 then
    return string.format(
      '{"type":"purchase",%s,"properties":{"amount":%d.%02d,"currency":"USD","gateway":"adyen","items":%d}}',
      session, math.random(200), math.random(99), math.random(5))
  elseif draw < 0.05 then
    return string.format('{"type":"error",%s,"properties":{"code":"E%d","path":"/checkout/pay"}}', session, math.random(20))
  elseif draw < 0.06 then
    return string.format('{"type":"signup",%s,"properties":{"plan":"free"}}', session)
  end
  return string.format(
    '{"type":"page_view",%s,"properties":{"path":"/products/%d","referrer":"https://example.com/","device":"mobile"}}',
    session, math.random(900))
end

function init()
  math.randomseed(42)
  local bytes = 0
  for i = 1, 50 do
    local events = {}
    for n = 1, size do events[n] = segment and in_segments_words(event(n)) or event(n) end
    local list = "[" .. table.concat(events, ",") .. "]"
    local body = segment and '{"batch":' .. list .. "}" or list
    bodies[i] = wrk.format("POST", path, { ["Content-Type"] = "application/json" }, body)
    bytes = bytes + #bodies[i]
  end
  print(string.format("%.0f bytes an event, with its share of the request's head", bytes / 50 / size))
end

local at = 0
function request()
  at = at % #bodies + 1
  return bodies[at]
end

if rate > 0 then
  ffi.cdef [[
    typedef struct { long sec; long nsec; } floodmark_time;
    int clock_gettime(int clock, floodmark_time *now);
  ]]
  local now, due = ffi.new("floodmark_time"), nil
  -- All connections share one schedule. A request that is late is sent at once.
  function delay()
    ffi.C.clock_gettime(1, now)
    local ms = tonumber(now.sec) * 1e3 + tonumber(now.nsec) / 1e6
    due = (due or ms) + size / rate * 1e3
    return math.max(0, math.floor(due - ms))
  end
end

function response(status)
  if status ~= 202 and status ~= 200 then print("status " .. status) end
end
