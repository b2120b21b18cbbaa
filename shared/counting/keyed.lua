-- keyed: count clicks that carry a key, each key once within the window; the check and the count are one step
-- KEYS  1 cur   2 live   3 keyed: hash (total)   4 now: set of ids   5 former: the set before it   6 since: when `now` began
-- ARGV  1 window in seconds   2 most ids   3 nonce   4 key prefix   5 entries (u64 minute, banner, n, 16 bytes key)*
-- answers one byte per entry: '1' counted now, '0' counted before; cost O(entries)
-- An id is remembered for one to two windows of Redis' own clock, or among the latest half of `most` when more come.
forget_former_life(KEYS[1])
local window, now, former, blob, total, answers = tonumber(ARGV[1]), KEYS[4], KEYS[5], ARGV[5], 0, {}
local found = incarnations(KEYS[1], ARGV[4], ARGV[3], blob, 40)
turn(now, former, KEYS[6], window, redis.call('SCARD', now), #blob / 40, tonumber(ARGV[2]), tonumber(redis.call('TIME')[1]))
for at = 1, #blob, 40 do
  local minute, banner, n = struct.unpack('<I8I8I8', blob, at)
  local id = string.sub(blob, at + 24, at + 39)
  if redis.call('SISMEMBER', former, id) == 1 or redis.call('SADD', now, id) == 0 then
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
