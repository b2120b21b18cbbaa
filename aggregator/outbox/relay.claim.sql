-- Take the cursor if nobody holds it, or its holder has let the lease run out, or is oneself; with the next epoch. Answers
-- the cursor, the highest transaction id that is stored, and the first one that this cluster had not given out when the statement began:
-- the cursor may be younger than that, if another relay moved it meanwhile.
-- $1 name   $2 owner   $3 lease in seconds
WITH taken AS (
    UPDATE tallybook_outbox_cursor
    SET owner = $2, epoch = epoch + 1, lease_until = now() + $3::double precision * interval '1 second'
    WHERE name = $1 AND (owner IS NULL OR owner = $2 OR lease_until < now())
    RETURNING *
)
SELECT taken.*,
    greatest(
        taken.xid, taken.pending_xid, (SELECT xid FROM tallybook_outbox ORDER BY xid DESC, id DESC LIMIT 1)
    ) AS highest_xid,
    pg_snapshot_xmax(pg_current_snapshot()) AS next_xid
FROM taken
