-- Hits of a tracker in [since, until), in epoch milliseconds. The days only let ClickHouse skip what lies outside.
SELECT count()
FROM tracker_events
WHERE tracker_id = {tracker:UUID}
  AND date BETWEEN {first:Date} AND {last:Date}
  AND date_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND date_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
