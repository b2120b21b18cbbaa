-- A page of the trackers by id.
-- $1 the last id of the page before, or the nil UUID   $2 begin of an id, in small letters; '' for all of them   $3 pattern of a value
-- $4 rows at most
SELECT uuid, value, created_at
FROM trackers
WHERE uuid > $1 AND ($2 = '' OR starts_with(uuid::text, $2) OR value ~ $3)
ORDER BY uuid
LIMIT $4
