-- Sends requests that were signed (and encrypted) beforehand, one after another, as fast as the connections allow;
-- with a second argument each connection waits that many milliseconds on average (exponentially) before the next.
local requests, position = {}, 0
local threads = 0

function setup(thread)
  thread:set("first", threads)
  threads = threads + 1
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read(8)
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
  position = math.floor(#requests / 2) * first
  math.randomseed(first + 1)
  if args[2] then
    local mean = tonumber(args[2])
    function delay() return math.floor(-mean * math.log(1 - math.random()) + 0.5) end
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
