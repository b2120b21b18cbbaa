-- As reader.buckets.sql, of one of the kinds in banner_stats.
-- $1 banners bigint[]   $2 first second   $3 end (exclusive), both epoch seconds   $4 incarnations text[]
-- $5 starts of the buckets and, last, the end of the range: sorted epoch seconds bigint[]   $6 kind
SELECT NULL::text AS incarnation, banner_id, array_agg(($5::bigint[])[bucket]) AS buckets, array_agg(n) AS counts
FROM (
    SELECT banner_id, width_bucket(date_part('epoch', "timestamp")::bigint, $5::bigint[]) AS bucket, sum(count)::bigint AS n
    FROM banner_stats
    WHERE banner_id = ANY($1) AND "timestamp" >= to_timestamp($2) AND "timestamp" < to_timestamp($3) AND kind = $6
    GROUP BY 1, 2
) AS summed
GROUP BY banner_id
UNION ALL
SELECT incarnation, NULL, NULL, NULL FROM click_ledger WHERE incarnation = ANY($4)
