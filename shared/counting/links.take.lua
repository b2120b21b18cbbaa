-- links.take: count a click of a link that leads only so many people on, if one is left; the look and the count are one step
-- KEYS  1 cur   2 live   3 keyed: hash (total)   4 link: clicks that were taken
-- ARGV  1 most clicks   2 nonce   3 key prefix   4 entry (u64 minute, banner, 1)
-- answers 1 counted, 0 used up; cost O(1)
local taken = tonumber(redis.call('GET', KEYS[4]) or '0')
if taken >= tonumber(ARGV[1]) then return 0 end
forget_former_life(KEYS[1])
local found = incarnations(KEYS[1], ARGV[3], ARGV[2], ARGV[4], 24)
local minute, banner, n = struct.unpack('<I8I8I8', ARGV[4], 1)
add(KEYS[1], KEYS[2], found[minute], banner, n)
redis.call('HINCRBY', KEYS[3], 'total', string.format('%.0f', n))
redis.call('INCRBY', KEYS[4], string.format('%.0f', n))
return 1
