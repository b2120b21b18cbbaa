-- Clicks that the ledger ever took over, and which of the incarnations just seen in Redis are among them.
-- $1 incarnations text[]
SELECT
    (SELECT coalesce(sum(clicks), 0) FROM click_ledger)
        + (SELECT clicks FROM click_carry WHERE name = 'ledger_pruned') AS clicks,
    coalesce((SELECT array_agg(incarnation) FROM click_ledger WHERE incarnation = ANY($1)), '{}') AS known
