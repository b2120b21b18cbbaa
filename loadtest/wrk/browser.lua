-- One click after the other, round-robin over banners 1..N, by 1,000 browsers: `wrk -s browser.lua URL -- N`.
-- Each browser sends its own user agent, languages, referrer and cookies: about 600 bytes. The requests are made
-- beforehand; N divides the number of browsers, so that each banner is clicked equally often.
local browsers = 1000
local requests, at = {}, 0
local systems = { "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", "Linux; Android 10; K" }
local platforms = { '"Windows"', '"macOS"', '"Linux"', '"Android"' }
local languages = { "en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9,en;q=0.7", "uk-UA,uk;q=0.9,en;q=0.8" }

function init(args)
  local banners = tonumber(args[1] or 100)
  for browser = 1, browsers do
    local system, version = browser % 4 + 1, 120 + browser % 25
    local headers = {
      ["Connection"] = "keep-alive",
      ["Content-Length"] = "0",
      ["sec-ch-ua-platform"] = platforms[system],
      ["sec-ch-ua"] = string.format('"Chromium";v="%d", "Not A(Brand";v="24"', version),
      ["sec-ch-ua-mobile"] = system == 4 and "?1" or "?0",
      ["User-Agent"] = string.format(
        "Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", systems[system], version
      ),
      ["Accept"] = "*/*",
      ["Origin"] = "https://shop.example",
      ["Sec-Fetch-Site"] = "same-site",
      ["Sec-Fetch-Mode"] = "cors",
      ["Sec-Fetch-Dest"] = "empty",
      ["Referer"] = "https://shop.example/products/" .. browser,
      ["Accept-Encoding"] = "gzip, deflate, br",
      ["Accept-Language"] = languages[browser % 4 + 1],
      ["Cookie"] = string.format("session=%08x; theme=dark", browser * 2654435 % 4294967296),
    }
    requests[browser] = wrk.format("POST", "/stats/" .. (browser - 1) % banners + 1, headers, "")
  end
end

function request()
  at = at % browsers + 1
  return requests[at]
end
