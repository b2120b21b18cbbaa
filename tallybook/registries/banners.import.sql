-- Register banners, or give new names to those that are registered; an empty name leaves the former one.
-- $1 ids, $2 names of the same length, no id twice; the status counts the rows that are new or changed
INSERT INTO banners (banner_id, name)
SELECT banner_id, name FROM unnest($1::bigint[], $2::text[]) AS given (banner_id, name)
ORDER BY banner_id
ON CONFLICT (banner_id) DO UPDATE SET name = EXCLUDED.name
WHERE EXCLUDED.name <> '' AND EXCLUDED.name <> banners.name
