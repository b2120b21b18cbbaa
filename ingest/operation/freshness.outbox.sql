-- Entries of the outbox that are not in ClickHouse, the moment of the oldest one, and why they do not move, if they do not.
-- $1 entries that are counted at most
SELECT
    (SELECT count(*) FROM (
        SELECT FROM tallybook_outbox AS event WHERE (event.xid, event.id) > (cursor.xid, cursor.id) LIMIT $1
    ) AS counted) AS waiting,
    (
        SELECT created_at FROM tallybook_outbox AS event WHERE (event.xid, event.id) > (cursor.xid, cursor.id)
        ORDER BY event.xid, event.id LIMIT 1
    ) AS oldest,
    CASE
        WHEN trouble IS NOT NULL THEN split_part(trouble, ':', 1)
        WHEN owner IS NULL OR lease_until < now() THEN 'no relay'
    END AS reason
FROM tallybook_outbox_cursor AS cursor
WHERE name = 'event_log'
