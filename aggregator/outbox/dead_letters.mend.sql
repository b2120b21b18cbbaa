-- Give a dead letter another context, before it is published again.
-- $1 name   $2 event id   $3 event_context
UPDATE tallybook_outbox_dead SET event_context = $3::text::json
WHERE name = $1 AND event_id = $2 AND replayed_at IS NULL
