-- A page of the trackers by id. $1 the last id of the page before, or the nil UUID; $2 rows at most
SELECT uuid, value FROM trackers WHERE uuid > $1 ORDER BY uuid LIMIT $2
