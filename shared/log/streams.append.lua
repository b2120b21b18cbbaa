-- append: store one append of a producer in one partition, once
-- KEYS  1 log: stream   2 seqs: hash, producer -> seq of its last append   3 book: hash (appended, trimmed)
-- ARGV  1 producer   2 seq   3 most records in the stream   4 (key, value)*
-- answers {'OK'}, {'DUP'} when it was stored before, {'PAST', seq} when a later one was, {'FULL', records}; cost O(records)
-- entry  k key   v value   p producer   s seq   i place in the append   n number of the record in the partition, from 1
local seq, last = tonumber(ARGV[2]), tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if seq == last then return { 'DUP' } end
if seq < last then return { 'PAST', last } end
local more, there = (#ARGV - 3) / 2, redis.call('XLEN', KEYS[1])
if there + more > tonumber(ARGV[3]) then return { 'FULL', there } end
local n = redis.call('HINCRBY', KEYS[3], 'appended', more) - more
for at = 4, #ARGV, 2 do
  local i = (at - 4) / 2
  redis.call(
    'XADD', KEYS[1], '*', 'k', ARGV[at], 'v', ARGV[at + 1], 'p', ARGV[1], 's', ARGV[2],
    'i', string.format('%.0f', i), 'n', string.format('%.0f', n + i + 1)
  )
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { 'OK' }
