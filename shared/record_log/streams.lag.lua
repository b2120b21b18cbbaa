-- lag: how many entries lie in a partition from a cursor on
-- KEYS  1 log: stream   2 book: hash (appended, trimmed)      ARGV  1 start (inclusive)
-- answers the number; cost O(log n), because each entry knows its own number
local first = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1)[1]
if not first then return 0 end
local fields = first[2]
for at = 1, #fields, 2 do
  if fields[at] == 'n' then return tonumber(redis.call('HGET', KEYS[2], 'appended')) - tonumber(fields[at + 1]) + 1 end
end
return 0
