-- claim: which events of an upload are new, within a window that is bounded in time and in ids
-- KEYS  1 now: hash, id -> content and claim, and claim -> nothing once it is confirmed   2 former: the same, of the time before
--       3 since: when `now` began
-- ARGV  1 window in seconds   2 most ids   3 seconds for which a claim holds   4 name of this claim, 8 bytes
--       5 (16 bytes id, 8 bytes content)*, no id twice
-- answers one byte per event; cost O(events)
--   n  new, or claimed long ago by an upload that never said that it was stored: claimed now
--   s  the same is known and stored      p  the same was claimed, and may not be stored: claimed now      c  another content has the id
-- A value is 8 bytes content, the second of the claim as u32, and the name of the claim.
local window, most, hold, name, blob = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local sub, second = string.sub, tonumber(redis.call('TIME')[1])
-- One more: the confirmation of this claim.
turn(KEYS[1], KEYS[2], KEYS[3], window, redis.call('HLEN', KEYS[1]), #blob / 24 + 1, most, second)
local ids, answers, writes, written, claim = {}, {}, {}, 0, struct.pack('<I4', second) .. name
for place = 1, #blob / 24 do ids[place] = sub(blob, place * 24 - 23, place * 24 - 8) end
local now = redis.call('HMGET', KEYS[1], unpack(ids))
local former = redis.call('EXISTS', KEYS[2]) == 1 and redis.call('HMGET', KEYS[2], unpack(ids)) or {}
local function is_stored(known)
  local of = sub(known, 13)
  return redis.call('HEXISTS', KEYS[1], of) == 1 or redis.call('HEXISTS', KEYS[2], of) == 1
end
for place, id in ipairs(ids) do
  local content, known, answer = sub(blob, place * 24 - 7, place * 24), now[place] or former[place], 'n'
  if known then
    if sub(known, 1, 8) == content then
      answer = is_stored(known) and 's' or 'p'
    elseif second - struct.unpack('<I4', known, 9) < hold or is_stored(known) then
      answer = 'c'
    end
  end
  answers[place] = answer
  if answer == 'n' or answer == 'p' then
    writes[written + 1], writes[written + 2], written = id, content .. claim, written + 2
  end
end
if written > 0 then
  redis.call('HSET', KEYS[1], unpack(writes))
  redis.call('EXPIRE', KEYS[1], 2 * window + 60)
end
return table.concat(answers)
