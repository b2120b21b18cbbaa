#!lua
-- Joined in front of add.lua and keyed.lua: where a click of some minute goes.
-- An incarnation is one hash of banner -> clicks for one minute, under an id that never comes back: <minute>:<nonce>.
-- cur    hash, minute -> id of the open incarnation; `#run` is the server process that opened them
-- live   sorted set, id -> minute, of every incarnation that is not yet dropped

-- A server that restarted may hold older data than the ledger in Postgres knows (lost tail, restored copy). Nothing of its
-- former life may grow any more, or later clicks would join an id that is already in the ledger and be dropped with it.
local function forget_former_life(cur)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if redis.call('HGET', cur, '#run') ~= run then
    redis.call('DEL', cur)
    redis.call('HSET', cur, '#run', run)
  end
end

-- The key of the open incarnation of a minute, opened now if there is none.
local function incarnation(cur, live, prefix, minute, nonce)
  local id = redis.call('HGET', cur, string.format('%.0f', minute))
  if not id then
    id = string.format('%.0f:%s', minute, nonce)
    redis.call('HSET', cur, string.format('%.0f', minute), id)
    redis.call('ZADD', live, minute, id)
  end
  return prefix .. 'i:' .. id
end
