-- A link that is about to be changed, and the lock on it. $1 its slug
SELECT slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active
FROM links WHERE slug = $1 FOR UPDATE
