-- A script for wrk: sends one request of BATCH events over and over. It is made once, so that wrk
-- itself costs little.
local size = tonumber(os.getenv("BATCH") or "1")
local event = '{"type":"page_view","timestamp":' .. os.time() .. '000,"sessionId":"s%06d","properties":' ..
  '{"path":"/p/moka-pot","referrer":"google.com","device":"mobile","country":"DE"}}'
local events = {}
for n = 1, size do events[n] = string.format(event, n) end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = size == 1 and events[1] or "[" .. table.concat(events, ",") .. "]"
