-- Give a letter up: its record goes, the row stays for the books.
-- $1 log   $2 topic   $3 partition   $4 offset   $5 seq   $6 sink
UPDATE processing_errors SET dropped_at = now(), key = NULL, raw = NULL, sending = NULL
WHERE log = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND log_seq = $5 AND sink = $6
  AND replayed_at IS NULL AND dropped_at IS NULL
