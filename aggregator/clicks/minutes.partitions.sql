-- Make sure that the partitions of these minutes are there: a late click may belong to a month that nobody has written yet.
-- $1 starts of minutes in epoch seconds bigint[]
SELECT click_stats_make_partition(month)
FROM (SELECT DISTINCT date_trunc('month', to_timestamp(start), 'UTC') AS month FROM unnest($1::bigint[]) AS start) AS months
