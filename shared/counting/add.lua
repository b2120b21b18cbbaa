-- add: apply one sealed page of a lane, once
-- KEYS  1 cur   2 live   3 lane: hash (seq, total)   4 lanes: set of lane ids
-- ARGV  1 seq   2 nonce   3 the lane's clicks up to and with this page   4 key prefix   5 lane id   6 entries (u64 minute, banner, n)*
-- answers {'OK', former seq}, {'DUP', seq} when it was applied before, {'PAST', seq} when the lane file is older than what
-- Redis knows of it; cost O(entries)
local seq, last = tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[3], 'seq') or '0')
if seq == last then return { 'DUP', last } end
if seq < last then return { 'PAST', last } end
forget_former_life(KEYS[1])
local blob = ARGV[6]
local found = incarnations(KEYS[1], ARGV[4], ARGV[2], blob, 24)
for at = 1, #blob, 24 do
  local minute, banner, n = struct.unpack('<I8I8I8', blob, at)
  add(KEYS[1], KEYS[2], found[minute], banner, n)
end
redis.call('HSET', KEYS[3], 'seq', ARGV[1], 'total', ARGV[3])
if last == 0 then redis.call('SADD', KEYS[4], ARGV[5]) end
return { 'OK', last }
