-- The same GET again and again: `wrk -s get.lua URL -- PATH`.
local get

function init(args)
  get = wrk.format("GET", args[1])
end

function request()
  return get
end
