-- Add links, or change those that are there.
-- $1 a JSON array of rows, no slug twice; the status counts the rows that are new or changed
INSERT INTO links AS known (slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active)
SELECT slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active
FROM jsonb_to_recordset($1::jsonb) AS given (
    slug text, banner_id bigint, url text, query text, pass text[], click_id boolean, expires_at timestamptz,
    max_clicks bigint, active boolean
)
ORDER BY slug
ON CONFLICT (slug) DO UPDATE SET
    banner_id = EXCLUDED.banner_id, url = EXCLUDED.url, query = EXCLUDED.query, pass = EXCLUDED.pass,
    click_id = EXCLUDED.click_id, expires_at = EXCLUDED.expires_at, max_clicks = EXCLUDED.max_clicks,
    active = EXCLUDED.active
WHERE (known.banner_id, known.url, known.query, known.pass, known.click_id, known.expires_at, known.max_clicks, known.active)
    IS DISTINCT FROM (EXCLUDED.banner_id, EXCLUDED.url, EXCLUDED.query, EXCLUDED.pass, EXCLUDED.click_id,
                      EXCLUDED.expires_at, EXCLUDED.max_clicks, EXCLUDED.active)
