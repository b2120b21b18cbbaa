#!lua flags=no-writes
-- read: how far some lanes have come, and what waits in Redis, at one instant
-- KEYS  1 live   2.. lanes      ARGV  1 key prefix   2 first minute   3 last minute   4.. banners; none means all of them
-- answers {{last seq of each lane}, {id, {count of each banner asked, or banner, count, ...}}*}; cost O(live in range x banners)
local lanes, answer, banners = {}, {}, {}
for i = 2, #KEYS do lanes[i - 1] = redis.call('HGET', KEYS[i], 'seq') or '0' end
answer[1] = lanes
for i = 4, #ARGV do banners[i - 3] = ARGV[i] end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3])) do
  local key = ARGV[1] .. 'i:' .. id
  local counts = #banners > 0 and redis.call('HMGET', key, unpack(banners)) or redis.call('HGETALL', key)
  answer[#answer + 1] = { id, counts }
end
return answer
