-- append: store one append of a producer in one partition, once
-- KEYS  1 log: stream   2 seqs: hash, producer -> seq of its last append   3 book: hash (appended, trimmed, bytes, gone)
--       4 silent: hash, the same of 1,000 producers that appended before them; the marks of readers know those that are forgotten
-- ARGV  1 producer   2 seq   3 most records in the stream   4 most bytes   5 (key, value)*
-- answers {'OK'}, {'DUP'} when it was stored before, {'PAST', seq} when a later one was, {'FULL', records}; cost O(records)
-- entry  k key   v value   p producer   s seq   i place in the append   n number of the record in the partition, from 1
--        b bytes of all records before it, those that have left included
-- A record takes 100 bytes beside its key and value, and the allocator up to a quarter. An empty partition takes any append.
local known = redis.call('HGET', KEYS[2], ARGV[1]) or redis.call('HGET', KEYS[4], ARGV[1])
local seq, last = tonumber(ARGV[2]), tonumber(known or '0')
if seq == last then return { 'DUP' } end
if seq < last then return { 'PAST', last } end
local more, there, sizes, size = (#ARGV - 4) / 2, redis.call('XLEN', KEYS[1]), {}, 0
for at = 5, #ARGV, 2 do
  sizes[at] = 100 + math.ceil((#ARGV[at] + #ARGV[at + 1]) * 1.25)
  size = size + sizes[at]
end
local bytes, gone = unpack(redis.call('HMGET', KEYS[3], 'bytes', 'gone'))
local b = tonumber(bytes or '0')
local is_heavy = there > 0 and b - tonumber(gone or '0') + size > tonumber(ARGV[4])
if is_heavy or there + more > tonumber(ARGV[3]) then return { 'FULL', there } end
local n = redis.call('HINCRBY', KEYS[3], 'appended', more) - more
redis.call('HINCRBY', KEYS[3], 'bytes', string.format('%.0f', size))
for at = 5, #ARGV, 2 do
  local i = (at - 5) / 2
  redis.call(
    'XADD', KEYS[1], '*', 'k', ARGV[at], 'v', ARGV[at + 1], 'p', ARGV[1], 's', ARGV[2],
    'i', string.format('%.0f', i), 'n', string.format('%.0f', n + i + 1), 'b', string.format('%.0f', b)
  )
  b = b + sizes[at]
end
if redis.call('HLEN', KEYS[2]) >= 1000 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then redis.call('RENAME', KEYS[2], KEYS[4]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { 'OK' }
