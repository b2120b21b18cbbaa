-- Move the cursor behind what is pending, which is stored, or a dead letter. Batches grow again.
-- $1 name   $2 epoch   $3 lease in seconds   $4 stored   $5 dead-lettered   $6 code of the dead letter   $7 rows of a batch at most
UPDATE tallybook_outbox_cursor
SET xid = pending_xid, id = pending_id, pending_xid = NULL, pending_id = NULL, pending_rows = NULL, pending_token = NULL,
    stored = stored + $4, dead_lettered = dead_lettered + $5, trouble = NULL,
    refused_times = CASE WHEN $5 = 0 THEN 0 WHEN refused_code = $6 THEN refused_times + 1 ELSE 1 END,
    refused_code = $6, most = CASE WHEN most * 2 < $7 THEN most * 2 END,
    lease_until = now() + $3::double precision * interval '1 second'
WHERE name = $1 AND epoch = $2 AND owner IS NOT NULL AND pending_xid IS NOT NULL
