-- Dead letters that hold the id of a user, as a value of JSON or in a block of events. They stay locked until the end of
-- the transaction.
-- $1 bytea[], the ways to write it
SELECT log, topic, partition, log_offset, log_seq, sink, raw
FROM processing_errors
WHERE raw IS NOT NULL AND EXISTS (SELECT FROM unnest($1::bytea[]) AS written WHERE position(written IN raw) > 0)
FOR UPDATE
