-- What the ledger ever took over, of all kinds together, and which of the incarnations just seen in Redis are among it.
-- $1 incarnations text[]
SELECT
    (SELECT coalesce(sum(clicks), 0) FROM click_ledger)
        + (SELECT sum(clicks) FROM click_carry WHERE name ~ '^ledger_pruned(:|$)') AS clicks,
    coalesce((SELECT array_agg(incarnation) FROM click_ledger WHERE incarnation = ANY($1)), '{}') AS known
