-- Take the gate for a sink that holds its partition; no row while somebody else has the gate, or if the partition is lost.
-- The row of the cursor is locked, so that nobody claims the partition between the look and the step.
-- $1 holder   $2 log   $3 topic   $4 partition   $5 sink   $6 epoch
UPDATE event_gate SET holder = $1, until = NULL
WHERE (holder IS NULL OR holder = $1 OR until < now())
  AND EXISTS (
    SELECT FROM sink_cursor
    WHERE log = $2 AND topic = $3 AND partition = $4 AND sink = $5 AND epoch = $6 AND owner IS NOT NULL
    FOR SHARE
  )
RETURNING true
