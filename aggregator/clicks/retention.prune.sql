-- Remove old ledger rows and carry their sums, one for each kind; answers how many.
-- $1 days   $2 bits of a minute's number, behind which the kind stands
WITH pruned AS (
    DELETE FROM click_ledger WHERE applied_at < now() - $1::integer * interval '1 day' RETURNING incarnation, clicks
), sums AS (
    SELECT split_part(incarnation, ':', 1)::bigint >> $2::integer AS kind, sum(clicks)::bigint AS clicks FROM pruned GROUP BY 1
), carried AS (
    INSERT INTO click_carry AS carry (name, clicks)
    SELECT CASE kind WHEN 0 THEN 'ledger_pruned' ELSE 'ledger_pruned:' || kind END, clicks FROM sums ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET clicks = carry.clicks + EXCLUDED.clicks
)
SELECT count(*) FROM pruned
