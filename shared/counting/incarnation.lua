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

-- minute -> its open incarnation, or the one to open, for all entries (`size` bytes each, the minute first).
-- Every hash is looked at before the first click is written: while a slot moves to another node of a cluster, a key that has
-- left stops the script, and half a page that stayed would be counted again when the page comes back. What
-- forget_former_life has written to `cur` by then may stay: it counts nothing, and a repeat finds it done.
local function incarnations(cur, prefix, nonce, blob, size)
  local found = {}
  for at = 1, #blob, size do
    local minute = struct.unpack('<I8', blob, at)
    if not found[minute] then
      local name = string.format('%.0f', minute)
      local id = redis.call('HGET', cur, name)
      found[minute] = { minute = name, is_open = id, id = id or name .. ':' .. nonce }
      found[minute].key = prefix .. 'i:' .. found[minute].id
      redis.call('EXISTS', found[minute].key)
    end
  end
  return found
end

-- Adds to one of them, which is opened now if it is not yet.
local function add(cur, live, one, banner, n)
  if not one.is_open then
    redis.call('HSET', cur, one.minute, one.id)
    redis.call('ZADD', live, one.minute, one.id)
    one.is_open = true
  end
  redis.call('HINCRBY', one.key, string.format('%.0f', banner), string.format('%.0f', n))
end
