-- The position of the slowest sink in each partition that a sink reads.
-- $1 log   $2 topic
SELECT DISTINCT ON (partition) partition, next_offset, next_seq FROM sink_cursor WHERE log = $1 AND topic = $2
ORDER BY partition, next_offset, next_seq
