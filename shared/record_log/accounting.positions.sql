-- How far a sink is in each partition, and what became of the records before.
-- $1 log   $2 topic   $3 sink
SELECT partition, next_offset, next_seq, stored, dead_lettered, skipped, rows_stored, rows_duplicate, rows_dead_lettered
FROM sink_cursor
WHERE log = $1 AND topic = $2 AND sink = $3
