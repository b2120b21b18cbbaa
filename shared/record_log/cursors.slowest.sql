-- The position of the slowest sink in a partition; no row if no sink reads it.
-- $1 log   $2 topic   $3 partition
SELECT next_offset, next_seq FROM sink_cursor WHERE log = $1 AND topic = $2 AND partition = $3
ORDER BY next_offset, next_seq LIMIT 1
