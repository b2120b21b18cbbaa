-- How the outbox is: rows behind the cursor (counted up to a million) and the age of the oldest; rows in the DEFAULT partition; and how
-- long the oldest transaction that has written anything in this cluster has been open, with what it can be found by.
-- $1 name
SELECT
    (SELECT count(*) FROM (
        SELECT FROM tallybook_outbox AS event WHERE (event.xid, event.id) > (cursor.xid, cursor.id) LIMIT 1000000
    ) AS waiting)::bigint AS waiting,
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM tallybook_outbox AS event WHERE (event.xid, event.id) > (cursor.xid, cursor.id)
        ORDER BY event.xid, event.id LIMIT 1
    )), 0)::double precision AS oldest_s,
    (SELECT count(*) FROM tallybook_outbox_default) AS astray,
    coalesce(extract(epoch FROM clock_timestamp() - holder.xact_start), 0)::double precision AS held_s,
    holder.pid AS holder_pid, holder.application_name AS holder_application, holder.state AS holder_state,
    (SELECT count(*) FROM tallybook_outbox_dead AS dead WHERE dead.name = cursor.name AND replayed_at IS NULL) AS dead_letters
FROM tallybook_outbox_cursor AS cursor
LEFT JOIN LATERAL (
    SELECT xact_start, pid, application_name, state FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY age(backend_xid) DESC LIMIT 1
) AS holder ON true
WHERE cursor.name = $1
