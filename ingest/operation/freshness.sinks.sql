-- How far each sink is in each partition, and why it does not move, if it does not: the code of what is wrong, nothing of the records.
-- $1 log
SELECT topic, sink, partition, next_offset, next_seq, CASE
    WHEN trouble IS NOT NULL THEN split_part(trouble, ':', 1)
    WHEN owner IS NULL OR lease_until < now() THEN 'no aggregator'
END AS reason
FROM sink_cursor
WHERE log = $1
ORDER BY sink, partition
