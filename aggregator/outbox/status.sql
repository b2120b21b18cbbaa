-- The cursor row, whether somebody holds it, and whether the outbox holds ids of transactions that this cluster has not given out.
-- $1 name
SELECT cursor.*, coalesce(lease_until > now(), false) AS is_held,
    greatest(
        cursor.xid, cursor.pending_xid, (SELECT xid FROM tallybook_outbox ORDER BY xid DESC, id DESC LIMIT 1)
    ) >= pg_snapshot_xmax(pg_current_snapshot()) AS is_younger
FROM tallybook_outbox_cursor AS cursor
WHERE name = $1
