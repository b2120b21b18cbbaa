-- Clicks of all banners by minute or bucket, and how many banners have any: persisted minutes and what is on its way, in one
-- snapshot of the database. Rows of the ledger have only `incarnation`, the number of banners only `clicks`.
-- $1 first second   $2 end (exclusive), both epoch seconds   $3 incarnations text[] (null: from a lane)   $4 banners bigint[]
-- $5 seconds of minutes bigint[]   $6 counts bigint[]   $7 incarnations of the range text[]
-- $8 starts of the buckets and, last, the end of the range: sorted epoch seconds bigint[]; null: by minute
WITH on_its_way AS (
    SELECT second, banner_id, count
    FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS seen (incarnation, banner_id, second, count)
    WHERE NOT EXISTS (SELECT FROM click_ledger WHERE click_ledger.incarnation = seen.incarnation)
), clicks AS (
    SELECT date_part('epoch', "timestamp")::bigint AS second, banner_id, count
    FROM click_stats WHERE "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
    UNION ALL
    SELECT second, banner_id, count FROM on_its_way
), summed AS (
    SELECT grouping(bucket) AS is_banner, bucket, sum(count)::bigint AS clicks
    FROM (
        SELECT banner_id, count,
            CASE WHEN $8::bigint[] IS NULL THEN second ELSE ($8::bigint[])[width_bucket(second, $8::bigint[])] END AS bucket
        FROM clicks
    ) AS named
    GROUP BY GROUPING SETS ((bucket), (banner_id))
)
SELECT NULL::text AS incarnation, bucket, clicks FROM summed WHERE is_banner = 0
UNION ALL
SELECT NULL, NULL, count(*) FROM summed WHERE is_banner = 1
UNION ALL
SELECT incarnation, NULL, NULL FROM click_ledger WHERE incarnation = ANY($7)
