-- Make the partitions of today and of the following days; answers how many were missing.
-- $1 days
SELECT count(*) FILTER (WHERE tallybook_outbox_make_partition((now() AT TIME ZONE 'UTC')::date + day))::integer
FROM generate_series(0, $1::integer) AS day
