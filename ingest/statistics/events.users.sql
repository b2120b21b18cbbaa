-- Unique users of a range of days, which are not the sum of those of its days.
-- Whatever the segment names several times is worked out once: short circuits would do it again for each of its branches.
--   bounds       Array(Int64), epoch seconds: beginnings of the days, the end of the last one, and a second behind all
--   first, last  Date, days of UTC that the range touches
SELECT $unique(user_hash)
FROM $events
WHERE event_date BETWEEN {first:Date} AND {last:Date}
  AND occurred_at >= fromUnixTimestamp64Second({bounds:Array(Int64)}[1], 'UTC')
  AND occurred_at < fromUnixTimestamp64Second({bounds:Array(Int64)}[-2], 'UTC')
  AND ($segment)
SETTINGS short_circuit_function_evaluation = 'disable'
