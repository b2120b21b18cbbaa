-- Add what is counted besides clicks of people to its minutes.
-- $1 start of the minute in epoch seconds bigint[]   $2 banners bigint[]   $3 kinds smallint[]   $4 counts bigint[]
-- Summed and ordered as minutes.upsert.sql, which runs before it: so row locks of both tables are taken in one order.
INSERT INTO banner_stats AS stats ("timestamp", banner_id, kind, count)
SELECT to_timestamp(start), banner_id, kind, sum(n)
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS sealed (start, banner_id, kind, n)
GROUP BY start, banner_id, kind
ORDER BY start, banner_id, kind
ON CONFLICT ("timestamp", banner_id, kind) DO UPDATE SET count = stats.count + EXCLUDED.count
