-- Partitions of both tables whose whole month (UTC) lies before the retention, oldest first. Their names are made by
-- click_stats_make_partition and banner_stats_make_partition.
-- $1 days
SELECT child.relname::text AS partition, inhparent = 'banner_stats'::regclass AS has_kinds
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent IN ('click_stats'::regclass, 'banner_stats'::regclass)
  AND child.relname ~ '^(click|banner)_stats_\d{4}_\d{2}$'
  AND to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month' <= (now() AT TIME ZONE 'UTC') - $1::integer * interval '1 day'
ORDER BY right(child.relname, 7), child.relname
