-- As reader.minutes.sql, of one of the kinds in banner_stats.
-- $1 banners bigint[]   $2 first second   $3 end (exclusive), both epoch seconds   $4 incarnations text[]   $5 kind
SELECT NULL::text AS incarnation, banner_id,
    array_agg(date_part('epoch', "timestamp")::bigint) AS buckets, array_agg(count) AS counts
FROM banner_stats
WHERE banner_id = ANY($1) AND "timestamp" >= to_timestamp($2) AND "timestamp" < to_timestamp($3) AND kind = $5
GROUP BY banner_id
UNION ALL
SELECT incarnation, NULL, NULL, NULL FROM click_ledger WHERE incarnation = ANY($4)
