-- Make the partitions of the current month and of the following ones; answers how many were missing.
-- $1 months
SELECT count(*) FILTER (WHERE click_stats_make_partition(month)) + count(*) FILTER (WHERE banner_stats_make_partition(month))
FROM (
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + month * interval '1 month') AT TIME ZONE 'UTC' AS month
    FROM generate_series(0, $1::integer - 1) AS month
) AS months
