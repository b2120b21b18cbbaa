-- Joined in front of scripts that keep a window of entries, bounded in time and in number, in two halves.
-- turn: `now` becomes `former`, which is forgotten, when its time is over or when more would fill its half
-- since is a string: the second at which `now` began. What came in the last `window` seconds is known, or else the latest half of `most`.
local function turn(now, former, since, window, size, more, most, second)
  local began = tonumber(redis.call('GET', since) or '0')
  if second < began then -- the clock went back: nothing is older than it was
    redis.call('SET', since, second, 'EX', 2 * window + 60)
    began = second
  end
  if second - began >= window or (size > 0 and (size + more) * 2 > most) then
    redis.call('UNLINK', former)
    if size > 0 then redis.call('RENAME', now, former) end
    redis.call('SET', since, second, 'EX', 2 * window + 60)
  end
end
