-- Hits of a tracker in [since, until), in epoch milliseconds: all, their users but those who opted out, and machines'.
-- The days only let ClickHouse skip what lies outside.
SELECT count(), uniqExactIf(user_id, user_id != toUUID('00000000-0000-0000-0000-000000000000')), countIf(is_bot)
FROM tracker_events
WHERE tracker_id = {tracker:UUID}
  AND date BETWEEN {first:Date} AND {last:Date}
  AND date_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND date_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
