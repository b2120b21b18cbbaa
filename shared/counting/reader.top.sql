-- The most clicked banners: persisted minutes and what is on its way, in one snapshot of the database.
-- $1 first second   $2 end (exclusive), both epoch seconds   $3 incarnations text[] (null: from a lane)   $4 banners bigint[]
-- $5 counts bigint[]   $6 limit   $7 clicks and $8 id of the place behind which the ranking goes on; null: from its begin
WITH on_its_way AS (
    SELECT banner_id, count
    FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS seen (incarnation, banner_id, count)
    WHERE NOT EXISTS (SELECT FROM click_ledger WHERE click_ledger.incarnation = seen.incarnation)
)
SELECT banner_id, sum(count)::bigint AS count
FROM (
    SELECT banner_id, count FROM click_stats WHERE "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
    UNION ALL
    SELECT banner_id, count FROM on_its_way
) AS clicks
GROUP BY banner_id
HAVING $7::bigint IS NULL OR sum(count) < $7 OR (sum(count) = $7 AND banner_id > $8::bigint)
ORDER BY count DESC, banner_id
LIMIT $6
