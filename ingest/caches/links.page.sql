-- A page of the links by slug. $1 the last slug of the page before, or ''; $2 rows at most
SELECT slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active
FROM links WHERE slug > $1 ORDER BY slug LIMIT $2
