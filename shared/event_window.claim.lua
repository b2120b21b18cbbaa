-- claim: which events of an upload are new, within a window that is bounded in time and in ids
-- KEYS  1 now: hash, id -> content and claim   2 former: the same, of the time before   3 since: when `now` began
-- ARGV  1 window in seconds   2 most ids   3 seconds for which a claim holds   4 (16 bytes id, 8 bytes content)*, no id twice
-- answers one byte per event; cost O(events)
--   n  new, or claimed long ago by an upload that never said that it was stored: claimed now
--   s  the same is known and stored      p  the same was claimed, and may not be stored      c  another content has the id
-- A value is 8 bytes content, and the second of the claim as u32, 0 once it is stored.
local window, most, hold, blob = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local second = tonumber(redis.call('TIME')[1])
local since = tonumber(redis.call('GET', KEYS[3]) or '0')
if second - since >= window or second < since or redis.call('HLEN', KEYS[1]) * 2 >= most then
  redis.call('DEL', KEYS[2])
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
  redis.call('SET', KEYS[3], second, 'EX', 2 * window + 60)
end
local ids, writes, answers = {}, {}, {}
for at = 1, #blob, 24 do ids[#ids + 1] = string.sub(blob, at, at + 15) end
local now, former = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('HMGET', KEYS[2], unpack(ids))
for place, id in ipairs(ids) do
  local content = string.sub(blob, place * 24 - 7, place * 24)
  local known = now[place] or former[place]
  local claimed = known and struct.unpack('<I4', known, 9)
  if known and string.sub(known, 1, 8) == content then
    answers[place] = claimed == 0 and 's' or 'p'
  elseif known and (claimed == 0 or second - claimed < hold) then
    answers[place] = 'c'
  else
    answers[place] = 'n'
    writes[#writes + 1] = id
    writes[#writes + 1] = content .. struct.pack('<I4', second)
  end
end
if #writes > 0 then
  redis.call('HSET', KEYS[1], unpack(writes))
  redis.call('EXPIRE', KEYS[1], 2 * window + 60)
end
return table.concat(answers)
