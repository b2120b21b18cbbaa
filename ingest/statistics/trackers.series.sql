-- Hits of a tracker in [since, until), in epoch milliseconds, by bucket and in all; buckets without hits are left out.
-- Users may not be added, and those who opted out are none.
--   bucket  by `size`, UInt32 seconds, or by `starts`, Array(UInt32): beginnings of the buckets in epoch seconds
SELECT
    grouping(bucket) AS is_total,
    $bucket AS bucket,
    count(),
    uniqExactIf(user_id, user_id != toUUID('00000000-0000-0000-0000-000000000000')),
    countIf(is_bot)
FROM tracker_events
WHERE tracker_id = {tracker:UUID}
  AND date BETWEEN {first:Date} AND {last:Date}
  AND date_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND date_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY GROUPING SETS ((bucket), ())
ORDER BY is_total DESC, bucket
