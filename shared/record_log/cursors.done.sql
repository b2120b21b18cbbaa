-- Move the cursor behind what is stored, and the marks with it. Answers 1, or 0 if somebody else holds the partition.
-- Repeating it is harmless: within one epoch the cursor and its marks only go forward.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch   $6 lease in seconds   $7 $8 end   $9 producers text[]   $10 seqs bigint[]
-- $11 places int[]
WITH moved AS (
    UPDATE sink_cursor
    SET next_offset = $7, next_seq = $8, pending_offset = NULL, pending_seq = NULL, pending_rows = NULL, pending_version = NULL,
        lease_until = now() + $6::double precision * interval '1 second'
    WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5 AND owner IS NOT NULL
      AND (next_offset, next_seq) <= ($7, $8)
    RETURNING true
), marked AS (
    INSERT INTO sink_mark (log, topic, partition, sink, producer, seq, place)
    SELECT $1, $2, $3, $4, producer, seq, place
    FROM unnest($9::text[], $10::bigint[], $11::integer[]) AS mark (producer, seq, place)
    WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT (log, topic, partition, sink, producer)
    DO UPDATE SET seq = EXCLUDED.seq, place = EXCLUDED.place, marked_at = now()
)
SELECT count(*) FROM moved
