-- Keep records that a sink refused; those that are there already stay as they are.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 offsets bigint[]   $6 seqs bigint[]   $7 reasons text[]   $8 details text[]
-- $9 keys bytea[]   $10 values bytea[]   $11 versions int[]
INSERT INTO processing_errors (log, topic, partition, sink, log_offset, log_seq, reason, detail, key, raw, version)
SELECT $1, $2, $3, $4, letter.*
FROM unnest($5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::bytea[], $10::bytea[], $11::integer[]) AS letter
ON CONFLICT DO NOTHING
