-- As reader.top.sql, of several kinds together: that of clicks (0) is in click_stats, the others are in banner_stats.
-- $1 first second   $2 end (exclusive), both epoch seconds   $3 incarnations text[] (null: from a lane)   $4 banners bigint[]
-- $5 counts bigint[]   $6 limit   $7 kinds smallint[]   $8 count and $9 id of the place behind which the ranking goes on; null: from its
-- begin
WITH on_its_way AS (
    SELECT banner_id, count
    FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS seen (incarnation, banner_id, count)
    WHERE NOT EXISTS (SELECT FROM click_ledger WHERE click_ledger.incarnation = seen.incarnation)
)
SELECT banner_id, sum(count)::bigint AS count
FROM (
    SELECT banner_id, count FROM click_stats
    WHERE 0 = ANY($7::smallint[]) AND "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
    UNION ALL
    SELECT banner_id, count FROM banner_stats
    WHERE kind = ANY($7::smallint[]) AND "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
    UNION ALL
    SELECT banner_id, count FROM on_its_way
) AS counted
GROUP BY banner_id
HAVING $8::bigint IS NULL OR sum(count) < $8 OR (sum(count) = $8 AND banner_id > $9::bigint)
ORDER BY count DESC, banner_id
LIMIT $6
