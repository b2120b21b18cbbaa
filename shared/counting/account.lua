#!lua flags=no-writes
-- account: every figure that the accounting identity needs from one shard, at one instant
-- KEYS  1 live   2 lanes   3 keyed      ARGV  1 key prefix
-- answers {clicks counted with a key, {lane, last seq, clicks up to it}*, {id, clicks}*} with numbers as text; cost O(lanes + open clicks' fields)
local lanes, open = {}, {}
for _, lane in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local known = redis.call('HMGET', ARGV[1] .. 'lane:' .. lane, 'seq', 'total')
  lanes[#lanes + 1] = { lane, known[1] or '0', known[2] or '0' }
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local clicks = 0
  for _, n in ipairs(redis.call('HVALS', ARGV[1] .. 'i:' .. id)) do clicks = clicks + tonumber(n) end
  open[#open + 1] = { id, string.format('%.0f', clicks) }
end
return { redis.call('HGET', KEYS[3], 'total') or '0', lanes, open }
