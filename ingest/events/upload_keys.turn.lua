-- turn: `now` becomes `former`, which is forgotten, when its time is over or half of the bytes are there
-- A value is 16 bytes digest of the body, 8 bytes token of the attempt, the second until which that has the key as u32, and
-- the answer once there is one. Beside its answer an upload takes 160 bytes, and the allocator up to a quarter of the answer.
local function turn(now, former, book, keep, most, second, answer)
  local since, kept = unpack(redis.call('HMGET', book, 'since', 'bytes'))
  since, kept = tonumber(since or '0'), tonumber(kept or '0')
  local bytes = kept + 160 * (redis.call('HLEN', now) + 1) + #answer * 1.25
  if second < since then -- the clock went back: nothing is older than it was
    redis.call('HSET', book, 'since', second)
    since = second
  end
  if second - since >= keep or bytes * 2 > most then
    redis.call('UNLINK', former)
    if redis.call('EXISTS', now) == 1 then redis.call('RENAME', now, former) end
    redis.call('HSET', book, 'since', second, 'bytes', 0, 'former', string.format('%.0f', kept))
  end
end

local function put(now, book, keep, name, value, answer)
  redis.call('HSET', now, name, value .. answer)
  redis.call('HINCRBY', book, 'bytes', math.ceil(#answer * 1.25))
  redis.call('EXPIRE', now, 2 * keep + 60)
  redis.call('EXPIRE', book, 2 * keep + 60)
end
