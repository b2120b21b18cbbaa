-- Unique users by day of UTC; days without any are left out.
-- The table lies in the order of event_date, so each day is counted out before the next begins: half the time.
-- Whatever the segment names several times is worked out once: short circuits would do it again for each of its branches.
--   first, last  Date, the days, both in the range
SELECT event_date AS day, $unique(user_hash) AS users
FROM $events
WHERE event_date BETWEEN {first:Date} AND {last:Date}
  AND ($segment)
GROUP BY day
ORDER BY day
SETTINGS optimize_aggregation_in_order = 1, short_circuit_function_evaluation = 'disable'
