-- trim: forget entries that every sink is done with
-- KEYS  1 log: stream   2 book: hash (appended, trimmed)
-- ARGV  1 position of the slowest sink   2 milliseconds for which entries are kept all the same   3 most records in the stream
-- answers how many went; cost O(entries that go). Never MAXLEN: it would take unread entries along.
local limit, ms = ARGV[1], tonumber(ARGV[1]:match('^(%d+)-'))
if redis.call('XLEN', KEYS[1]) * 2 < tonumber(ARGV[3]) then
  local now = redis.call('TIME')
  local keep = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[2])
  if keep < ms then limit = string.format('%.0f', math.max(keep, 0)) .. '-0' end
end
local gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', limit)
-- Noted only when something went, so the note never moves back: an earlier limit finds nothing.
if gone > 0 then redis.call('HSET', KEYS[2], 'trimmed', limit) end
return gone
