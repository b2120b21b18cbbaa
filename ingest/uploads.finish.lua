-- finish: keep the answer of an upload, or let its key go
-- KEYS  1 hash (body, token, until, answer)
-- ARGV  1 token of this attempt   2 seconds to keep the answer   3 the answer; empty to let the key go
-- answers the answer that is kept; nothing when another attempt has the key, or when none is kept; cost O(1)
local token, answer = unpack(redis.call('HMGET', KEYS[1], 'token', 'answer'))
if answer then return answer end
if token ~= ARGV[1] then return false end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('HSET', KEYS[1], 'answer', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return ARGV[3]
