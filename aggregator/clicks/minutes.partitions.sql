-- Make sure that the partitions of these minutes are there: a late click may belong to a month that nobody has written yet.
-- $1 starts of minutes of clicks, $2 of the other kinds, in epoch seconds bigint[]
SELECT click_stats_make_partition(month)
FROM (SELECT DISTINCT date_trunc('month', to_timestamp(start), 'UTC') AS month FROM unnest($1::bigint[]) AS start) AS months
UNION ALL
SELECT banner_stats_make_partition(month)
FROM (SELECT DISTINCT date_trunc('month', to_timestamp(start), 'UTC') AS month FROM unnest($2::bigint[]) AS start) AS months
