#!lua flags=allow-oom
-- seal: close the minutes that are over, so that nothing can be added to them any more
-- KEYS  1 cur   2 live      ARGV  1 seconds in a minute   2 grace in seconds
-- answers {ids that can never grow again, number of open incarnations}; cost O(live)
-- A late page of such a minute opens another incarnation under another id.
-- The name of a minute is its cell (cells.py): kind * 2^40 + minute. No cell is over by its own number.
local now, open, sealed, still_open = tonumber(redis.call('TIME')[1]), {}, {}, 0
local cur = redis.call('HGETALL', KEYS[1])
for i = 1, #cur, 2 do
  local cell = tonumber(cur[i])
  if cell then
    if (cell % 2 ^ 40 + 1) * tonumber(ARGV[1]) + tonumber(ARGV[2]) <= now then
      redis.call('HDEL', KEYS[1], cur[i])
    else
      open[cur[i + 1]], still_open = true, still_open + 1
    end
  end
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if not open[id] then sealed[#sealed + 1] = id end
end
return { sealed, still_open }
