-- After a restore into a younger cluster: let old events that wait sort before all new ones, and forget those that were delivered. In
-- one transaction; answers the events that wait.
-- $1 name   $2 when the restored database was opened for the application   $3 xid, $4 id up to which events are delivered
WITH delivered AS (
    DELETE FROM tallybook_outbox WHERE created_at < $2 AND (xid, id) <= ($3::text::xid8, $4)
), waiting AS (
    -- Numbered anew, as ids have an order within a transaction only.
    UPDATE tallybook_outbox AS event SET xid = '0', id = placed.place
    FROM (
        SELECT xid, id, row_number() OVER (ORDER BY xid, id) AS place
        FROM tallybook_outbox WHERE created_at < $2 AND (xid, id) > ($3::text::xid8, $4)
    ) AS placed
    WHERE event.created_at < $2 AND (event.xid, event.id) = (placed.xid, placed.id)
), moved AS (
    -- Another source: this cluster may give out numbers that the former one gave out, and no token may stand for two things.
    UPDATE tallybook_outbox_cursor
    SET xid = '0', id = 0, source = gen_random_uuid(), epoch = epoch + 1, owner = NULL, lease_until = NULL, trouble = NULL,
        pending_xid = NULL, pending_id = NULL, pending_rows = NULL, pending_token = NULL
    WHERE name = $1
)
SELECT count(*) FROM tallybook_outbox WHERE created_at >= $2 OR (xid, id) > ($3::text::xid8, $4)
