-- Dead letters, the oldest first.
-- $1 name   $2 an event id, or NULL for all   $3 also those that were published again   $4 most
SELECT event_id, event_type, event_date_time, environment, event_context, metadata_version, reason, detail, buried_at, replayed_at
FROM tallybook_outbox_dead
WHERE name = $1 AND ($2::uuid IS NULL OR event_id = $2) AND ($3 OR replayed_at IS NULL)
ORDER BY buried_at, source, xid, id
LIMIT $4
