-- Give a sink a cursor in each partition of a topic, at the beginning; those that are there stay as they are.
-- $1 log   $2 topic   $3 sink   $4 partitions
INSERT INTO sink_cursor (log, topic, partition, sink)
SELECT $1, $2, partition, $3 FROM generate_series(0, $4::integer - 1) AS partition
ON CONFLICT DO NOTHING
