-- Dead letters that hold the id of a user, as a value of JSON or in a block of events, in the order of time.
-- $1 bytea[], the ways to write it
SELECT log, topic, partition, log_offset, log_seq, sink, raw, sending, reason, created_at
FROM processing_errors
WHERE EXISTS (SELECT FROM unnest($1::bytea[]) AS written WHERE position(written IN raw) > 0 OR position(written IN sending) > 0)
ORDER BY created_at, log, topic, partition, log_offset, log_seq, sink
