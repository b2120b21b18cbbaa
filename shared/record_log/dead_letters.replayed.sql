-- Mark a letter whose record was appended to the log again. Nothing of it is ever sent again, so the record goes; the row stays.
-- $1 log   $2 topic   $3 partition   $4 offset   $5 seq   $6 sink
UPDATE processing_errors SET replayed_at = now(), key = NULL, raw = NULL, sending = NULL
WHERE log = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND log_seq = $5 AND sink = $6
