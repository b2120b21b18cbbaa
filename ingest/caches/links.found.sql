-- The links of some slugs. $1 slugs
SELECT slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active
FROM links WHERE slug = ANY($1::text[])
