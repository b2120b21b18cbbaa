-- confirm: events that were claimed are in the log
-- KEYS  1 now: hash, id -> content and claim      ARGV  1 window in seconds   2 (16 bytes id, 8 bytes content)*      cost O(events)
local blob, writes = ARGV[2], {}
for at = 1, #blob, 24 do
  writes[#writes + 1] = string.sub(blob, at, at + 15)
  writes[#writes + 1] = string.sub(blob, at + 16, at + 23) .. '\0\0\0\0'
end
redis.call('HSET', KEYS[1], unpack(writes))
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[1]) + 60)
