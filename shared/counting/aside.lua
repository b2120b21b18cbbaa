#!lua flags=allow-oom
-- aside: take an incarnation that Postgres refuses out of the way of the others, keeping what it holds
-- KEYS  1 live      ARGV  1 key prefix   2 id
-- answers 1 if it was there; its hash is then <prefix>aside:<id>; cost O(1)
if redis.call('EXISTS', ARGV[1] .. 'i:' .. ARGV[2]) == 0 then return 0 end
redis.call('RENAME', ARGV[1] .. 'i:' .. ARGV[2], ARGV[1] .. 'aside:' .. ARGV[2])
return redis.call('ZREM', KEYS[1], ARGV[2])
