-- Keep the only row of the pending range as a dead letter; goes before `done` in one transaction.
-- $1 name   $2 epoch   $3 reason   $4 detail
INSERT INTO tallybook_outbox_dead
    (name, source, xid, id, event_id, event_type, event_date_time, environment, event_context, metadata_version, context,
     reason, detail)
SELECT cursor.name, source, event.xid, event.id, event_id, event_type, event_date_time, environment, event_context,
    metadata_version, context, $3, $4
FROM tallybook_outbox_cursor AS cursor
JOIN tallybook_outbox AS event ON (event.xid, event.id) = (pending_xid, pending_id)
WHERE cursor.name = $1 AND epoch = $2 AND owner IS NOT NULL
ON CONFLICT DO NOTHING
