-- gcra: one write of one client, if its limit allows it (generic cell rate algorithm)
-- KEYS  1 now: hash, client -> its theoretical arrival time in microseconds since the epoch   2 former: the hash before it
--       3 since: when `now` began
-- ARGV  1 microseconds per write   2 writes at once   3 most clients   4 name of the client
-- answers {1 or 0, microseconds by which the arrival time lies ahead of now}; cost O(1)
local time = redis.call('TIME')
local now, step, burst = time[1] * 1000000 + time[2], tonumber(ARGV[1]), tonumber(ARGV[2])
-- Never further ahead than a spent burst: a clock that was set back would else lock the client out.
local arrival = redis.call('HGET', KEYS[1], ARGV[4]) or redis.call('HGET', KEYS[2], ARGV[4])
local ahead = math.min(math.max((arrival and struct.unpack('<d', arrival) or 0) - now, 0), step * burst)
-- A little tolerance: fractions of a microsecond are lost in the numbers.
if ahead > step * (burst - 1) + math.min(1, step / 2) then return { 0, math.floor(ahead) } end
ahead = ahead + step
local window = math.ceil(step * burst / 1000000) + 1 -- seconds after which a client has its whole burst again
turn(KEYS[1], KEYS[2], KEYS[3], window, redis.call('HLEN', KEYS[1]), 1, tonumber(ARGV[3]), tonumber(time[1]))
redis.call('HSET', KEYS[1], ARGV[4], struct.pack('<d', now + ahead))
redis.call('EXPIRE', KEYS[1], 2 * window + 60)
return { 1, math.floor(ahead) }
