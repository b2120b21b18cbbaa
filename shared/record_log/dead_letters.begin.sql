-- Note the record that a replay is about to append, unless one is noted; answers the one that is to be sent, or nothing where no
-- letter waits.
-- $1 log   $2 topic   $3 partition   $4 offset   $5 seq   $6 sink   $7 another record than the refused one
UPDATE processing_errors SET sending = coalesce(sending, $7::bytea, raw)
WHERE log = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND log_seq = $5 AND sink = $6
  AND replayed_at IS NULL AND dropped_at IS NULL
RETURNING sending
