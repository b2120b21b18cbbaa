-- A page of the letters that wait, the oldest first: where their records were and why they are no rows, nothing of the records.
-- $1 table, or '' for all of them   $2 created_at   $3 log   $4 topic   $5 partition   $6 offset   $7 seq   $8 sink: the place behind
-- which the page begins   $9 rows at most
SELECT created_at, log, topic, partition, log_offset, log_seq, sink, reason
FROM processing_errors
WHERE replayed_at IS NULL AND dropped_at IS NULL AND ($1 = '' OR sink = $1)
  AND (created_at, log, topic, partition, log_offset, log_seq, sink) > ($2, $3, $4, $5, $6, $7, $8)
ORDER BY created_at, log, topic, partition, log_offset, log_seq, sink
LIMIT $9
