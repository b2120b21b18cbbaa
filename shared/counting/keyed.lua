-- keyed: count clicks that carry a key, each key once within the window; the check and the count are one step
-- KEYS  1 cur   2 live   3 keyed: hash (total)
-- ARGV  1 window in seconds   2 nonce   3 key prefix   4 entries (u64 minute, banner, n, 16 bytes key)*
-- answers one byte per entry: '1' counted now, '0' counted before; cost O(entries)
-- Keys live in one set per window of Redis' own clock; this window and the one before are looked at, so a key is remembered
-- for one to two windows.
forget_former_life(KEYS[1])
local window = tonumber(ARGV[1])
local bucket = math.floor(tonumber(redis.call('TIME')[1]) / window)
local now, before = ARGV[3] .. 'ids:' .. bucket, ARGV[3] .. 'ids:' .. (bucket - 1)
local blob, total, answers = ARGV[4], 0, {}
redis.call('EXISTS', now, before)
local found = incarnations(KEYS[1], ARGV[3], ARGV[2], blob, 40)
for at = 1, #blob, 40 do
  local minute, banner, n = struct.unpack('<I8I8I8', blob, at)
  local id = string.sub(blob, at + 24, at + 39)
  if redis.call('SISMEMBER', before, id) == 1 or redis.call('SADD', now, id) == 0 then
    answers[#answers + 1] = '0'
  else
    add(KEYS[1], KEYS[2], found[minute], banner, n)
    total = total + n
    answers[#answers + 1] = '1'
  end
end
if total > 0 then
  redis.call('HINCRBY', KEYS[3], 'total', string.format('%.0f', total))
  redis.call('EXPIRE', now, 2 * window + 60)
end
return table.concat(answers)
