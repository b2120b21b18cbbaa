-- Publish dead letters again, behind everything else, in the transaction that marks them; answers how many. Their event ids stay.
-- $1 name   $2 event ids, or NULL for all
WITH replayed AS (
    UPDATE tallybook_outbox_dead SET replayed_at = now()
    WHERE name = $1 AND replayed_at IS NULL AND ($2::uuid[] IS NULL OR event_id = ANY ($2))
    RETURNING *
), published AS (
    INSERT INTO tallybook_outbox
        (event_id, event_type, event_date_time, environment, event_context, metadata_version, context)
    SELECT event_id, event_type, event_date_time, environment, event_context, metadata_version, context
    FROM replayed ORDER BY xid, id
    RETURNING 1
)
SELECT count(*)::integer FROM published
