-- Take partitions that nobody holds, or whose holder has let its lease run out; each gets the next epoch. What stopped the former
-- holder is forgotten: who still meets it says it again.
-- $1 log   $2 topic   $3 sink   $4 owner   $5 lease in seconds   $6 most
WITH free AS (
    SELECT partition FROM sink_cursor
    WHERE log = $1 AND topic = $2 AND sink = $3 AND (owner IS NULL OR lease_until < now())
    ORDER BY partition
    LIMIT $6
    FOR UPDATE SKIP LOCKED
)
UPDATE sink_cursor AS taken
SET owner = $4, epoch = epoch + 1, trouble = NULL, lease_until = now() + $5::double precision * interval '1 second'
FROM free
WHERE log = $1 AND topic = $2 AND sink = $3 AND taken.partition = free.partition
RETURNING taken.partition, epoch, next_offset, next_seq, pending_offset, pending_seq, pending_rows, pending_version
