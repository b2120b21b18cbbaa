-- Hold the cursor for longer, and say that nothing is wrong. Hits one row, or somebody else has it.
-- $1 name   $2 epoch   $3 lease in seconds
UPDATE tallybook_outbox_cursor SET lease_until = now() + $3::double precision * interval '1 second', trouble = NULL
WHERE name = $1 AND epoch = $2 AND owner IS NOT NULL
