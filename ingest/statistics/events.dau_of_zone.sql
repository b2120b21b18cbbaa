-- Unique users by local day, which is named by its number, from 1; days without any are left out.
-- Whatever the segment names several times is worked out once: short circuits would do it again for each of its branches.
--   bounds       Array(Int64), epoch seconds: beginnings of the days, the end of the last one, and a second behind all.
--                Days last 24 hours give or take a few in all, so a day is the one of its 24 hours or next to it.
--   first, last  Date, days of UTC that the range touches
WITH
    {bounds:Array(Int64)} AS bounds,
    toInt64(toUnixTimestamp(occurred_at)) AS second,
    intDiv(second - bounds[1], 86400) + 1 AS guess
SELECT guess + (second >= bounds[guess + 1]) - (second < bounds[guess]) AS day, $unique(user_hash) AS users
FROM $events
WHERE event_date BETWEEN {first:Date} AND {last:Date}
  AND second >= bounds[1]
  AND second < bounds[-2]
  AND ($segment)
GROUP BY day
ORDER BY day
SETTINGS short_circuit_function_evaluation = 'disable'
