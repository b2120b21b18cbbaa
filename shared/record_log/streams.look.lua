#!lua flags=allow-oom
-- look: whether what was just read of a partition from a cursor on is all there; a stream that was put back to an older copy is
-- brought behind the cursor
-- KEYS  1 log: stream   2 book: hash (appended, trimmed, ...)
-- ARGV  1 start of the read   2 last id that the cursor knows was given out
-- answers {'OK', 1 if the stream was older than the cursor} or {'TRIMMED', id}; cost O(1)
local function is_before(one, other)
  local ms, seq = one:match('^(%d+)-(%d+)$')
  local other_ms, other_seq = other:match('^(%d+)-(%d+)$')
  ms, seq, other_ms, other_seq = tonumber(ms), tonumber(seq), tonumber(other_ms), tonumber(other_seq)
  return ms < other_ms or (ms == other_ms and seq < other_seq)
end

local trimmed = redis.call('HGET', KEYS[2], 'trimmed')
if trimmed and ARGV[1] ~= '0-0' and is_before(ARGV[1], trimmed) then return { 'TRIMMED', trimmed } end

local is_there, last, rewound = redis.call('EXISTS', KEYS[1]) == 1, '0-0', 0
if is_there then
  local about = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #about, 2 do
    if about[at] == 'last-generated-id' then last = about[at + 1] end
  end
end
if is_before(last, ARGV[2]) then
  rewound = 1
  if is_there then
    redis.call('XSETID', KEYS[1], ARGV[2])
  else -- XSETID knows no streams that are not there
    redis.call('XADD', KEYS[1], ARGV[2], '', '')
    redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
  end
end
return { 'OK', rewound }
