-- Hits of a tracker in [since, until) by the begin of their minute, hour or day in UTC; those without hits are left out.
-- since and until in epoch milliseconds, step in seconds
SELECT intDiv(toUnixTimestamp64Milli(date_time), {step:Int64} * 1000) * {step:Int64} AS begin, count()
FROM tracker_events
WHERE tracker_id = {tracker:UUID}
  AND date BETWEEN {first:Date} AND {last:Date}
  AND date_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
  AND date_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY begin
ORDER BY begin
