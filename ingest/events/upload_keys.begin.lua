-- begin: whether an upload under a key is to be worked on now
-- KEYS  1 now   2 former   3 book
-- ARGV  1 seconds to keep an answer   2 most bytes   3 name   4 digest of the body, and token of this attempt
--       5 seconds for which it has the key
-- answers {'MINE'}, {'ANSWER', bytes}, {'OTHER'} for another body, {'BUSY'} while another attempt works on it; cost O(1)
local keep, name, head = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local second = tonumber(redis.call('TIME')[1])
local known = redis.call('HGET', KEYS[1], name) or redis.call('HGET', KEYS[2], name)
if known then
  if string.sub(known, 1, 16) ~= string.sub(head, 1, 16) then return { 'OTHER' } end
  if #known > 28 then return { 'ANSWER', string.sub(known, 29) } end
  if struct.unpack('<I4', known, 25) > second then return { 'BUSY' } end
end
turn(KEYS[1], KEYS[2], KEYS[3], keep, tonumber(ARGV[2]), second, '')
put(KEYS[1], KEYS[3], keep, name, head .. struct.pack('<I4', second + tonumber(ARGV[5])), '')
return { 'MINE' }
