-- What a page reports, and the same by other routes: `wrk -s page.lua URL -- WHAT N TRACKER`, over banners 1..N or 1001..1000+N.
--   collect  three clicks of a view to /c         bulk  three clicks with ids to /stats
--   view     one view to /c                       hit   one hit with a body
-- Each request names what it counts anew, so that nothing is a repeat.
local what, banners, tracker, at, prefix = "", 100, "", 0, ""
local agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
local page = { ["User-Agent"] = agent, ["Origin"] = "https://shop.example", ["Content-Type"] = "text/plain;charset=UTF-8" }
local json = { ["User-Agent"] = agent, ["Content-Type"] = "application/json" }

function init(args)
  what, banners, tracker = args[1], tonumber(args[2]), args[3]
  local address = tonumber(tostring({}):match("0x(%x+)"), 16)
  math.randomseed(os.time() * 1000 + address % 1000003)
  prefix = string.format("%04x%04x-%04x-4%03x-8%03x", math.random(0, 65535), math.random(0, 65535), math.random(0, 65535),
    math.random(0, 4095), math.random(0, 4095))
end

local function three(item)
  local items = {}
  for n = 1, 3 do
    items[n] = item(n, (at * 3 + n) % banners + 1)
  end
  return "[" .. table.concat(items, ",") .. "]"
end

function request()
  at = at + 1
  local view = string.format("%s-%012x", prefix, at)
  if what == "collect" then
    return wrk.format("POST", "/c?w=0", page, three(function(n, banner)
      return string.format('{"k":"click","v":"%s","n":%d,"t":5,"b":"%d"}', view, n, banner)
    end))
  elseif what == "bulk" then
    return wrk.format("POST", "/stats", json, three(function(n, banner)
      return string.format('{"bannerId":%d,"id":"%s.%d"}', 1000 + banner, view, n)
    end))
  elseif what == "view" then
    return wrk.format("POST", "/c?w=0", page,
      string.format('[{"k":"view","v":"%s","n":0,"t":5,"u":"https://shop.example/p/%d","r":""}]', view, at % 100))
  end
  return wrk.format("POST", "/track?id=" .. tracker .. "&page=%2Fp%2F" .. at % 100, page, "a body")
end
