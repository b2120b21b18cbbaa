-- Remove old ledger rows and carry their sum; answers how many.
-- $1 days
WITH pruned AS (
    DELETE FROM click_ledger WHERE applied_at < now() - $1::integer * interval '1 day' RETURNING clicks
), carried AS (
    UPDATE click_carry SET clicks = click_carry.clicks + (SELECT coalesce(sum(clicks), 0) FROM pruned)
    WHERE name = 'ledger_pruned'
)
SELECT count(*) FROM pruned
