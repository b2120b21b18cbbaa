-- stock: how many records a partition ever took, and how many of them lie from a position on, at one moment
-- KEYS  1 log: stream   2 book: hash (appended, trimmed)      ARGV  1 start (inclusive)
-- answers {appended, from start on}; cost O(log n), because each entry knows the number of its first record
local appended = tonumber(redis.call('HGET', KEYS[2], 'appended') or '0')
local first = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1)[1]
local amid = around(KEYS[1], ARGV[1])
local left = amid and amid.left or 0
if first then
  local fields = first[2]
  for at = 1, #fields, 2 do
    if fields[at] == 'n' then return { appended, appended - tonumber(fields[at + 1]) + 1 + left } end
  end
end
return { appended, left }
