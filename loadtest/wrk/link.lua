-- One redirect link after the other, round-robin over the slugs b1..bN, by a browser: `wrk -s link.lua URL -- N`.
-- The requests are made beforehand.
local requests, at = {}, 0
local agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

function init(args)
  for link = 1, tonumber(args[1] or 100) do
    requests[link] = wrk.format("GET", "/r/b" .. link, { ["User-Agent"] = agent })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
