-- The most frequent types of events in a range of days, best first; of equal ones the first by name.
-- Rows of one event are of one day, and so of one partition: FINAL need not compare partitions.
-- Whatever the segment names several times is worked out once: short circuits would do it again for each of its branches.
--   bounds       Array(Int64), epoch seconds: beginnings of the days, the end of the last one, and a second behind all
--   first, last  Date, days of UTC that the range touches
--   limit        UInt32
SELECT event_type, count() AS events
FROM $events
WHERE event_date BETWEEN {first:Date} AND {last:Date}
  AND occurred_at >= fromUnixTimestamp64Second({bounds:Array(Int64)}[1], 'UTC')
  AND occurred_at < fromUnixTimestamp64Second({bounds:Array(Int64)}[-2], 'UTC')
  AND ($segment)
GROUP BY event_type
ORDER BY events DESC, event_type
LIMIT {limit:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1, short_circuit_function_evaluation = 'disable'
