-- Sinks of the log that do not move, each with the code of what is wrong: nothing of the records themselves.
SELECT DISTINCT sink, CASE WHEN trouble IS NOT NULL THEN split_part(trouble, ':', 1) ELSE 'no aggregator' END AS reason
FROM sink_cursor
WHERE trouble IS NOT NULL OR owner IS NULL OR lease_until < now()
ORDER BY 1, 2
