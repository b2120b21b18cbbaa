-- Give dead letters up: they are gone. The cursor goes on counting them.
-- $1 name   $2 event ids
WITH dropped AS (
    DELETE FROM tallybook_outbox_dead WHERE name = $1 AND event_id = ANY ($2::uuid[]) AND replayed_at IS NULL
    RETURNING 1
)
SELECT count(*)::integer FROM dropped
