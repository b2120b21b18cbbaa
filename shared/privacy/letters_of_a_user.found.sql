-- Dead letters whose record is kept, in the order of time. Whom they name is seen when they are decoded.
SELECT log, topic, partition, log_offset, log_seq, sink, key, raw, sending, reason, created_at
FROM processing_errors
WHERE raw IS NOT NULL OR sending IS NOT NULL
ORDER BY created_at, log, topic, partition, log_offset, log_seq, sink
