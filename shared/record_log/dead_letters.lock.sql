-- One letter, locked until the end of the transaction.
-- $1 log   $2 topic   $3 partition   $4 offset   $5 seq   $6 sink
SELECT * FROM processing_errors
WHERE log = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND log_seq = $5 AND sink = $6
FOR UPDATE
