-- confirm: the events of a claim are in the log
-- KEYS  1 now: hash, claim -> nothing      ARGV  1 window in seconds   2 name of the claim      cost O(1)
redis.call('HSET', KEYS[1], ARGV[2], '')
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[1]) + 60)
