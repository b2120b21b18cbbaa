-- Events and their users in [since, until), by bucket and in all; buckets without events are left out. Users may not be added.
-- Rows of one event are of one day, and so of one partition: FINAL need not compare partitions.
-- Whatever the segment names several times is worked out once: short circuits would do it again for each of its branches.
--   bucket       by `size`, UInt32 seconds, or by `starts`, Array(UInt32): beginnings of the buckets in epoch seconds
--   since, until Int64, epoch milliseconds   first, last  Date, days of UTC that the range touches
--   event_type   String, empty for all of them
SELECT
    grouping(bucket) AS is_total,
    $bucket AS bucket,
    count() AS events,
    uniqExact(user_hash) AS users
FROM $events
WHERE event_date BETWEEN {first:Date} AND {last:Date}
  AND occurred_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
  AND ({event_type:String} = '' OR event_type = {event_type:String})
  AND ($segment)
GROUP BY GROUPING SETS ((bucket), ())
ORDER BY is_total DESC, bucket
SETTINGS do_not_merge_across_partitions_select_final = 1, short_circuit_function_evaluation = 'disable'
