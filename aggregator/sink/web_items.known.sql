-- Which of these items the table has from before a position of a partition of the log. Hours and sites only let ClickHouse
-- skip what lies outside.
--   partition, offset, seq   the position   hours  begins in epoch seconds   sites, views, numbers   the items
SELECT site, toString(view) AS id, n
FROM web_items
WHERE toStartOfHour(time) IN (
      SELECT toDateTime(arrayJoin({hours:Array(UInt32)}), 'UTC')
  )
  AND log_partition = {partition:UInt16}
  AND (log_offset, log_seq) < ({offset:UInt64}, {seq:UInt64})
  AND (site, view, n) IN (
      SELECT arrayJoin(arrayZip({sites:Array(String)}, {views:Array(UUID)}, {numbers:Array(UInt16)}))
  )
GROUP BY site, view, n
