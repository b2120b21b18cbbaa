-- Note what is about to be inserted, before it is. A smaller range may take the place of a larger one; both begin at the cursor.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch   $6 lease in seconds   $7 $8 next   $9 $10 end   $11 rows   $12 version
UPDATE sink_cursor
SET pending_offset = $9, pending_seq = $10, pending_rows = $11, pending_version = $12,
    lease_until = now() + $6::double precision * interval '1 second'
WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5 AND owner IS NOT NULL
  AND (next_offset, next_seq) = ($7, $8)
