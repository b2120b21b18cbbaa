-- Places of letters that wait and came before a moment, the oldest first, behind the place of a former page.
-- $1 before   $2 created_at   $3 log   $4 topic   $5 partition   $6 offset   $7 seq   $8 sink   $9 most
SELECT created_at, log, topic, partition, log_offset, log_seq, sink
FROM processing_errors
WHERE replayed_at IS NULL AND dropped_at IS NULL AND created_at < $1
  AND (created_at, log, topic, partition, log_offset, log_seq, sink) > ($2, $3, $4, $5, $6, $7, $8)
ORDER BY created_at, log, topic, partition, log_offset, log_seq, sink
LIMIT $9
