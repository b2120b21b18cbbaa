-- begin: whether an upload under a key is to be worked on now
-- KEYS  1 hash (body, token, until, answer)
-- ARGV  1 digest of the body   2 token of this attempt   3 seconds for which it has the key   4 seconds to keep the key
-- answers {'MINE'}, {'ANSWER', bytes}, {'OTHER'} for another body, {'BUSY'} while another attempt works on it; cost O(1)
local second = tonumber(redis.call('TIME')[1])
local body, til, answer = unpack(redis.call('HMGET', KEYS[1], 'body', 'until', 'answer'))
if body and body ~= ARGV[1] then return { 'OTHER' } end
if answer then return { 'ANSWER', answer } end
if til and tonumber(til) > second then return { 'BUSY' } end
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'token', ARGV[2], 'until', second + tonumber(ARGV[3]))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return { 'MINE' }
