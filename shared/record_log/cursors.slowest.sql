-- The position of the slowest sink in each partition that a sink reads.
-- $1 log   $2 topics
SELECT DISTINCT ON (topic, partition) topic, partition, next_offset, next_seq FROM sink_cursor
WHERE log = $1 AND topic = ANY($2)
ORDER BY topic, partition, next_offset, next_seq
