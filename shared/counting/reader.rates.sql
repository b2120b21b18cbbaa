-- The banners with the highest rates of clicks to viewable impressions, by the lower end of Wilson's interval (rate.py), in one snapshot
-- of the database. A kind is a click where it is 0 or 4, and a viewable impression where it is 2 or 6 (cells.py).
-- $1 first second   $2 end (exclusive), both epoch seconds   $3 incarnations text[] (null: from a lane)   $4 kinds smallint[]
-- $5 banners bigint[]   $6 counts bigint[] of what is on its way   $7 limit   $8 kinds asked smallint[]   $9 fewest viewable   $10 z
-- Every row has `left_out`; where no banner fits, the only row has no banner.
WITH on_its_way AS (
    SELECT banner_id, kind, count
    FROM unnest($3::text[], $4::smallint[], $5::bigint[], $6::bigint[]) AS seen (incarnation, kind, banner_id, count)
    WHERE NOT EXISTS (SELECT FROM click_ledger WHERE click_ledger.incarnation = seen.incarnation)
), summed AS (
    SELECT banner_id,
        coalesce(sum(count) FILTER (WHERE kind % 4 = 0), 0)::bigint AS clicks,
        coalesce(sum(count) FILTER (WHERE kind % 4 = 2), 0)::bigint AS viewable
    FROM (
        SELECT banner_id, 0::smallint AS kind, count FROM click_stats
        WHERE 0 = ANY($8::smallint[]) AND "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
        UNION ALL
        SELECT banner_id, kind, count FROM banner_stats
        WHERE kind = ANY($8::smallint[]) AND "timestamp" >= to_timestamp($1) AND "timestamp" < to_timestamp($2)
        UNION ALL
        SELECT banner_id, kind, count FROM on_its_way
    ) AS counted
    GROUP BY banner_id
), fit AS (
    SELECT banner_id, clicks, viewable, clicks::float8 / viewable AS share, $10::float8 ^ 2 / viewable AS square
    FROM summed
    WHERE viewable >= $9::bigint AND viewable > 0 AND clicks <= viewable
), ranked AS (
    SELECT banner_id, clicks, viewable,
        CASE clicks WHEN 0 THEN 0  -- exactly, so that banners without clicks are equals
        ELSE (share + square / 2 - $10::float8 * sqrt(share * (1 - share) / viewable + square / viewable / 4)) / (1 + square) END AS low
    FROM fit
    ORDER BY low DESC, banner_id
    LIMIT $7
)
SELECT banner_id, clicks, viewable, (SELECT count(*) FROM summed) - (SELECT count(*) FROM fit) AS left_out
FROM (SELECT 1) AS always
LEFT JOIN ranked ON true
ORDER BY low DESC, banner_id
