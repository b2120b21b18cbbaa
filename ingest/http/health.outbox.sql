-- Why the outbox does not move, if it does not: the code of what is wrong, no relay, or nothing that moves it on. Nothing of the events.
-- $1 seconds that an event may wait
SELECT CASE
    WHEN trouble IS NOT NULL THEN split_part(trouble, ':', 1)
    WHEN owner IS NULL OR lease_until < now() THEN 'no relay'
    ELSE 'late'
END AS reason
FROM tallybook_outbox_cursor AS cursor
WHERE trouble IS NOT NULL OR EXISTS (
    SELECT FROM (
        SELECT created_at FROM tallybook_outbox AS event WHERE (event.xid, event.id) > (cursor.xid, cursor.id)
        ORDER BY event.xid, event.id LIMIT 1
    ) AS oldest
    WHERE created_at < now() - $1::double precision * interval '1 second'
)
