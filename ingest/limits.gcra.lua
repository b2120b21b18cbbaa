#!lua
-- gcra: one write of one client, if its limit allows it (generic cell rate algorithm)
-- KEYS  1 the client: its theoretical arrival time in microseconds since the epoch, until it has its whole burst again
-- ARGV  1 microseconds per write   2 writes at once
-- answers {1 or 0, microseconds by which the arrival time lies ahead of now}; cost O(1)
local time = redis.call('TIME')
local now, step, burst = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
-- Never further ahead than a spent burst: a clock that was set back would else lock the client out.
local ahead = math.min(math.max((tonumber(redis.call('GET', KEYS[1])) or 0) - now, 0), step * burst)
-- A little tolerance: fractions of a microsecond are lost in the numbers.
if ahead > step * (burst - 1) + math.min(1, step / 2) then return { 0, math.floor(ahead) } end
ahead = ahead + step
redis.call('SET', KEYS[1], string.format('%.3f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
return { 1, math.floor(ahead) }
