-- One click after the other, round-robin over banners 1..N: `wrk -s click.lua URL -- N`.
-- The requests are made beforehand, so that the generator costs as little as it can.
local requests, at = {}, 0

function init(args)
  local banners = tonumber(args[1] or 100)
  for banner = 1, banners do
    requests[banner] = wrk.format("POST", "/stats/" .. banner, nil, "")
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
