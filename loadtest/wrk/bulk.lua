-- One bulk request of ITEMS clicks over banners 1..N again and again: `wrk -s bulk.lua URL -- ITEMS N`.
local bulk

function init(args)
  local items, banners, parts = tonumber(args[1] or 10000), tonumber(args[2] or 100), {}
  for item = 1, items do
    parts[item] = '{"bannerId":' .. (item - 1) % banners + 1 .. '}'
  end
  local headers = { ["Content-Type"] = "application/json" }
  bulk = wrk.format("POST", "/stats", headers, "[" .. table.concat(parts, ",") .. "]")
end

function request()
  return bulk
end
