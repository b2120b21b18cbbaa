#!lua flags=allow-oom
-- The entry of several records that an id is in the midst of: its id, and how many of its records lie from there on.
-- Nil where the id is between two entries. For other scripts.
local function around(key, id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  if tonumber(seq) == 0 then return nil end
  local entry = redis.call('XREVRANGE', key, '(' .. id, '-', 'COUNT', 1)[1]
  if not entry or entry[2][1] ~= 'k' or entry[2][13] ~= 'b' or entry[2][15] ~= 'r' then return nil end
  local its_ms, its_seq = entry[1]:match('^(%d+)-(%d+)$')
  local left = tonumber(its_seq) + tonumber(entry[2][16]) - tonumber(seq)
  return its_ms == ms and left > 0 and { id = entry[1], left = left } or nil
end
