-- Hold the cursor for another lease while a batch is on its way.
-- $1 name   $2 epoch   $3 lease in seconds
UPDATE tallybook_outbox_cursor SET lease_until = now() + $3::double precision * interval '1 second'
WHERE name = $1 AND epoch = $2 AND owner IS NOT NULL
