-- Letters, the oldest first.
-- $1 also those that were replayed or dropped   $2 most
SELECT * FROM processing_errors
WHERE $1 OR (replayed_at IS NULL AND dropped_at IS NULL)
ORDER BY created_at, log, topic, partition, log_offset, log_seq, sink
LIMIT $2
