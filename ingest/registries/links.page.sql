-- A page of the redirect links by slug.
-- $1 the last slug of the page before, or ''   $2 text to look for, or '' for all of them   $3 its pattern, in a slug or destination
-- $4 rows at most
SELECT slug, banner_id, url, expires_at, max_clicks, active, created_at
FROM links
WHERE slug > $1
  AND ($2 = '' OR slug ~ $3 OR url ~ $3 OR banner_id::text = $2)
ORDER BY slug
LIMIT $4
