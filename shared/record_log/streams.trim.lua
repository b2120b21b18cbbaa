-- trim: forget entries that every sink is done with: those that are old, and the oldest until the rest is within the stock
-- KEYS  1 log: stream   2 book: hash (appended, trimmed, bytes, gone, left)
-- ARGV  1 position of the slowest sink   2 milliseconds for which entries are kept
--       3 most records that stay   4 most bytes that stay; entries that a sink still needs stay all the same
-- answers how many went; cost O(entries that go + log n). Never MAXLEN: it would take unread entries along.
-- An entry that a sink is in the midst of stays.
local appended, bytes = unpack(redis.call('HMGET', KEYS[2], 'appended', 'bytes'))
appended, bytes = tonumber(appended or '0'), tonumber(bytes or '0')

local function from(ms) return string.format('%.0f', ms) .. '-0' end

-- The first entry from there on: its millisecond, and what is known of the own entries from it on. Those of other programs have no
-- number and no bytes, so the next own one stands for them; where none follows soon, no own one is taken to be there. Those of a
-- former version have no bytes, and stand before all that have.
local function first_from(id)
  local ms
  for _ = 1, 100 do
    local entry = redis.call('XRANGE', KEYS[1], id, '+', 'COUNT', 1)[1]
    if not entry then break end
    local fields = entry[2]
    ms, id = ms or tonumber(entry[1]:match('^(%d+)-')), '(' .. entry[1]
    if fields[1] == 'k' and fields[11] == 'n' then
      return { ms = ms, n = tonumber(fields[12]), b = fields[13] == 'b' and tonumber(fields[14]) or 0 }
    end
  end
  return ms and { ms = ms, n = appended + 1, b = bytes }
end

-- Whether the entries from there on are within the stock.
local function is_within(entry)
  return not entry or appended - entry.n < tonumber(ARGV[3]) and bytes - entry.b <= tonumber(ARGV[4])
end

local amid = around(KEYS[1], ARGV[1])
local limit, done_ms = amid and amid.id or ARGV[1], tonumber(ARGV[1]:match('^(%d+)-'))
local time = redis.call('TIME')
local keep = math.max(time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2]), 0)
local oldest = keep < done_ms and first_from(from(keep))
if oldest then
  if is_within(oldest) then
    limit = from(keep)
  else -- between them lies the first millisecond whose entry is within; ids of one millisecond go together
    local low, high = math.min(oldest.ms, done_ms), done_ms
    while high - low > 1 do
      local middle = math.floor((low + high) / 2)
      if is_within(first_from(from(middle))) then high = middle else low = middle end
    end
    if high < done_ms then limit = from(high) end
  end
end
local gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', limit)
if gone > 0 then
  -- Noted only when something went, so the note never moves back: an earlier limit finds nothing.
  local first = first_from('-')
  redis.call(
    'HSET', KEYS[2], 'trimmed', limit, 'gone', string.format('%.0f', first and first.b or bytes),
    'left', string.format('%.0f', first and first.n - 1 or appended)
  )
end
return gone
