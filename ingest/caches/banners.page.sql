-- A page of the registered ids. $1 the last id of the page before, or 0; $2 rows at most
SELECT banner_id FROM banners WHERE banner_id > $1 ORDER BY banner_id LIMIT $2
