#!lua
-- gcra: may a client write once more now? (generic cell rate algorithm, ITU-T I.371)
-- KEYS  1 client: theoretical arrival time of the next write, in microseconds of Redis' clock; expires by itself
-- ARGV  1 microseconds between two writes   2 writes in a row
-- answers {1 allowed or 0 refused, writes left, microseconds until one more is allowed}; cost O(1)
local clock = redis.call('TIME')
local now, interval, burst = clock[1] * 1000000 + clock[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local allowed_at = arrival + interval - interval * burst
if allowed_at > now then return { 0, 0, allowed_at - now } end
arrival = arrival + interval
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
return { 1, math.floor((interval * burst - (arrival - now)) / interval), 0 }
