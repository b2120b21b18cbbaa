-- The trackers with the most hits in [since, until), in epoch milliseconds; of equal ones the first by id.
--   first, last  Date, days of UTC that the range touches   limit  UInt32
SELECT
    toString(tracker_id) AS tracker,
    count() AS hits,
    uniqExactIf(user_id, user_id != toUUID('00000000-0000-0000-0000-000000000000')),
    countIf(is_bot)
FROM tracker_events
WHERE date BETWEEN {first:Date} AND {last:Date}
  AND date_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND date_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY tracker_id
ORDER BY hits DESC, tracker
LIMIT {limit:UInt32}
