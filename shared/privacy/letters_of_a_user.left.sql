-- Leave of a dead letter what is not about the user; of one that is about nobody else the row stays, for the books.
-- $1 log   $2 topic   $3 partition   $4 offset   $5 seq   $6 sink   $7 bytea, what stays of the record, or NULL
-- $8 bytea, what stays of the one that a replay began to send, or NULL   $9 text, the user, whom the detail of others may name
UPDATE processing_errors
SET raw = $7,
    sending = $8,
    key = CASE WHEN $7::bytea IS NULL THEN NULL ELSE key END,
    detail = CASE WHEN $7::bytea IS NULL OR position($9::text IN detail) > 0 THEN '' ELSE detail END,
    dropped_at = CASE WHEN $7::bytea IS NULL AND $8::bytea IS NULL AND replayed_at IS NULL THEN coalesce(dropped_at, now()) ELSE dropped_at END
WHERE log = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND log_seq = $5 AND sink = $6
