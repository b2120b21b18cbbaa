-- stock: how many records a partition ever took, and how many of them lie from a cursor on, at one moment
-- KEYS  1 log: stream   2 book: hash (appended, trimmed)      ARGV  1 start (inclusive)
-- answers {appended, from start on}; cost O(log n), because each entry knows its own number
local appended = tonumber(redis.call('HGET', KEYS[2], 'appended') or '0')
local first = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1)[1]
if first then
  local fields = first[2]
  for at = 1, #fields, 2 do
    if fields[at] == 'n' then return { appended, appended - tonumber(fields[at + 1]) + 1 } end
  end
end
return { appended, 0 }
