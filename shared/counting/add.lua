-- add: apply one sealed page of a lane, once
-- KEYS  1 cur   2 live   3 lane: hash (seq, total)   4 lanes: set of lane ids
-- ARGV  1 seq   2 nonce   3 the lane's clicks up to and with this page   4 key prefix   5 lane id   6 entries (u64 minute, banner, n)*
-- answers {'OK', former seq}, {'DUP', seq} when it was applied before, {'PAST', seq} when the lane file is older than what
-- Redis knows of it; cost O(entries)
local seq, last = tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[3], 'seq') or '0')
if seq == last then return { 'DUP', last } end
if seq < last then return { 'PAST', last } end
forget_former_life(KEYS[1])
local blob, minute, key = ARGV[6], nil, nil
for at = 1, #blob, 24 do
  local entry_minute, banner, n = struct.unpack('<I8I8I8', blob, at)
  if entry_minute ~= minute then
    minute, key = entry_minute, incarnation(KEYS[1], KEYS[2], ARGV[4], entry_minute, ARGV[2])
  end
  redis.call('HINCRBY', key, string.format('%.0f', banner), string.format('%.0f', n))
end
redis.call('HSET', KEYS[3], 'seq', ARGV[1], 'total', ARGV[3])
if last == 0 then redis.call('SADD', KEYS[4], ARGV[5]) end
return { 'OK', last }
