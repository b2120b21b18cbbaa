-- Which of these events the table has from before a position of a partition of the log. The hours only let ClickHouse skip
-- what lies outside.
--   partition, offset, seq   the position   hours  begins in epoch seconds   pages, users, times (epoch ms)   the events
SELECT page_id, user_id, toUnixTimestamp64Milli(event_time) AS ms
FROM page_views_raw
WHERE toStartOfHour(event_time) IN (
      SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC')
  )
  AND log_partition = {partition:UInt16}
  AND (log_offset, log_seq) < ({offset:UInt64}, {seq:UInt64})
  AND (page_id, user_id, ms) IN (
      SELECT arrayJoin(arrayZip({pages:Array(String)}, {users:Array(String)}, {times:Array(Int64)}))
  )
GROUP BY page_id, user_id, ms
