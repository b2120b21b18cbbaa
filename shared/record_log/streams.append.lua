-- append: store one append of a producer in one partition, once
-- KEYS  1 log: stream   2 seqs: hash, producer -> seq of its last append   3 book: hash (appended, trimmed, bytes, gone, left)
--       4 silent: hash, the same of 1,000 producers that appended before them; the marks of readers know those that are forgotten
-- ARGV  1 producer   2 seq   3 most records in the stream   4 most bytes   5 (key, value, how many records the entry holds)*
-- answers {'OK'}, {'DUP'} when it was stored before, {'PAST', seq} when a later one was, {'FULL', records}; cost O(entries)
-- entry  k key   v value   p producer   s seq   i place of its first record in the append   n number of that in the partition, from 1
--        b bytes of all entries before it, those that have left included   r its records, where it holds several
-- An entry takes 100 bytes beside its key and value, and the allocator up to a quarter. An empty partition takes any append.
local known = redis.call('HGET', KEYS[2], ARGV[1]) or redis.call('HGET', KEYS[4], ARGV[1])
local seq, last = tonumber(ARGV[2]), tonumber(known or '0')
if seq == last then return { 'DUP' } end
if seq < last then return { 'PAST', last } end
local more, there, sizes, size = 0, redis.call('XLEN', KEYS[1]), {}, 0
for at = 5, #ARGV, 3 do
  sizes[at] = 100 + math.ceil((#ARGV[at] + #ARGV[at + 1]) * 1.25)
  size, more = size + sizes[at], more + tonumber(ARGV[at + 2])
end
local bytes, gone, appended, left = unpack(redis.call('HMGET', KEYS[3], 'bytes', 'gone', 'appended', 'left'))
local b = tonumber(bytes or '0')
local is_heavy = there > 0 and b - tonumber(gone or '0') + size > tonumber(ARGV[4])
-- XLEN counts entries, those of other programs among them. Beside it, a book of a former version knows only after a trim.
if left or not appended then there = math.max(there, tonumber(appended or '0') - tonumber(left or '0')) end
if is_heavy or there + more > tonumber(ARGV[3]) then return { 'FULL', there } end
if not appended then redis.call('HSET', KEYS[3], 'left', '0') end
local n = redis.call('HINCRBY', KEYS[3], 'appended', more) - more
redis.call('HINCRBY', KEYS[3], 'bytes', string.format('%.0f', size))
local i = 0
for at = 5, #ARGV, 3 do
  local entry = {
    'k', ARGV[at], 'v', ARGV[at + 1], 'p', ARGV[1], 's', ARGV[2],
    'i', string.format('%.0f', i), 'n', string.format('%.0f', n + i + 1), 'b', string.format('%.0f', b),
  }
  local r = tonumber(ARGV[at + 2])
  if r > 1 then
    entry[15], entry[16] = 'r', ARGV[at + 2]
  end
  local id = redis.call('XADD', KEYS[1], '*', unpack(entry))
  if r > 1 then -- the ids behind its own are those of its other records
    local ms, first = id:match('^(%d+)-(%d+)$')
    redis.call('XSETID', KEYS[1], ms .. '-' .. string.format('%.0f', first + r - 1))
  end
  b, i = b + sizes[at], i + r
end
if redis.call('HLEN', KEYS[2]) >= 1000 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then redis.call('RENAME', KEYS[2], KEYS[4]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { 'OK' }
