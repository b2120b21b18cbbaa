-- Add clicks to their minutes.
-- $1 start of the minute in epoch seconds bigint[]   $2 banners bigint[]   $3 clicks bigint[]
-- Summed, because one statement may touch a row once; ordered, because two aggregators then take row locks in the same order.
INSERT INTO click_stats AS stats ("timestamp", banner_id, count)
SELECT to_timestamp(start), banner_id, sum(clicks)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS sealed (start, banner_id, clicks)
GROUP BY start, banner_id
ORDER BY start, banner_id
ON CONFLICT ("timestamp", banner_id) DO UPDATE SET count = stats.count + EXCLUDED.count
