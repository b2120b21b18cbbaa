#!lua flags=no-writes
-- steady: how far some lanes have come by now, and which incarnations of some minutes are open
-- KEYS  1 cur   2.. lanes      ARGV  minutes
-- answers {{last seq of each lane}, {id of the open incarnation of each minute, or ''}}; cost O(lanes + minutes)
local lanes, open = {}, {}
for i = 2, #KEYS do lanes[i - 1] = redis.call('HGET', KEYS[i], 'seq') or '0' end
for i = 1, #ARGV do open[i] = redis.call('HGET', KEYS[1], ARGV[i]) or '' end
return { lanes, open }
