#!lua flags=allow-oom
-- drop: forget sealed incarnations whose ledger row is committed
-- KEYS  1 cur   2 live      ARGV  1 key prefix   2.. ids
-- answers the number dropped; an id that is still open is left alone; cost O(ids)
local dropped = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('HGET', KEYS[1], string.match(id, '^%d+')) ~= id then
    redis.call('UNLINK', ARGV[1] .. 'i:' .. id)
    dropped = dropped + redis.call('ZREM', KEYS[2], id)
  end
end
return dropped
