-- Note what is about to be inserted, before it is. A smaller range may take the place of a larger one.
-- $1 name   $2 epoch   $3 lease in seconds   $4 xid, $5 id of the last row   $6 rows   $7 token   $8 rows of a batch at most, or NULL
UPDATE tallybook_outbox_cursor
SET pending_xid = $4::text::xid8, pending_id = $5, pending_rows = $6, pending_token = $7, most = $8,
    lease_until = now() + $3::double precision * interval '1 second'
WHERE name = $1 AND epoch = $2 AND owner IS NOT NULL
