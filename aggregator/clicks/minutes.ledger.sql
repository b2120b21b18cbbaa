-- Enter incarnations into the ledger; answers those that were not in it. Whoever enters one first adds its clicks.
-- $1 incarnations text[]   $2 rows int[]   $3 clicks bigint[]     the order of the keys keeps two writers from a deadlock
INSERT INTO click_ledger (incarnation, rows, clicks)
SELECT incarnation, rows, clicks
FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS sealed (incarnation, rows, clicks)
ORDER BY incarnation
ON CONFLICT (incarnation) DO NOTHING
RETURNING incarnation
