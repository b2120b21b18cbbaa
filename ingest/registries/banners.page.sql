-- A page of the registered banners by id.
-- $1 the last id of the page before, or 0   $2 begin of an id, or '' for all of them   $3 pattern of a name
-- $4 only these ids, bigint[]; null for all of them   $5 rows at most
SELECT banner_id, name, created_at
FROM banners
WHERE banner_id > $1
  AND ($2 = '' OR starts_with(banner_id::text, $2) OR name ~ $3)
  AND ($4::bigint[] IS NULL OR banner_id = ANY($4))
ORDER BY banner_id
LIMIT $5
