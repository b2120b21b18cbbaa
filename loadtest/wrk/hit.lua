-- One hit after the other, round-robin over the trackers given: `wrk -s hit.lua URL -- MS UUID...`; each connection waits
-- MS milliseconds between two. Half of the hits are of browsers that have been there before. The requests are made
-- beforehand.
local requests, at, pause = {}, 0, 0
local agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

function init(args)
  pause = tonumber(args[1])
  for number = 1, #args - 1 do
    local headers = { ["User-Agent"] = agent, ["Accept"] = "image/avif,image/webp,*/*", ["Accept-Language"] = "en" }
    headers["Referer"] = "https://shop.example/products/" .. number
    if number % 2 == 0 then
      headers["Cookie"] = string.format("user_id=01980a4c-5c1e-7a11-9b1e-%012x", number)
    end
    requests[number] = wrk.format("GET", "/track?id=" .. args[number + 1] .. "&page=%2Fproducts%2F" .. number, headers)
  end
  if pause > 0 then
    delay = function() return pause end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
