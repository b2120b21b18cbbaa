-- Clicks per minute, and which of the incarnations just seen in Redis are already part of them: one snapshot of the database.
-- $1 banners bigint[]   $2 first second   $3 end (exclusive), both epoch seconds   $4 incarnations text[]
-- bucket is the start of the minute in epoch seconds; rows of the ledger have only `incarnation`
SELECT NULL::text AS incarnation, banner_id, date_part('epoch', "timestamp")::bigint AS bucket, count
FROM click_stats
WHERE banner_id = ANY($1) AND "timestamp" >= to_timestamp($2) AND "timestamp" < to_timestamp($3)
UNION ALL
SELECT incarnation, NULL, NULL, NULL FROM click_ledger WHERE incarnation = ANY($4)
