-- finish: keep the answer of an upload, or let its key go
-- KEYS  1 now   2 former   3 book
-- ARGV  1 seconds to keep the answer   2 most bytes   3 name   4 digest of the body, and token of this attempt
--       5 the answer; empty to let the key go
-- answers the answer that is kept; nothing when another attempt has the key, or when none is kept; cost O(1)
-- An upload that is not known any more was forgotten meanwhile, or let go by an attempt after this one.
local keep, name, head, answer = tonumber(ARGV[1]), ARGV[3], ARGV[4], ARGV[5]
local known = redis.call('HGET', KEYS[1], name) or redis.call('HGET', KEYS[2], name)
if known then
  if #known > 28 and string.sub(known, 1, 16) == string.sub(head, 1, 16) then return string.sub(known, 29) end
  if string.sub(known, 1, 24) ~= head then return false end
end
if answer == '' then
  redis.call('HDEL', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
  return false
end
turn(KEYS[1], KEYS[2], KEYS[3], keep, tonumber(ARGV[2]), tonumber(redis.call('TIME')[1]), answer)
put(KEYS[1], KEYS[3], keep, name, head .. struct.pack('<I4', 0), answer)
return answer
