-- Leave the gate, if the sink has it and its partition.
-- $1 holder   $2 log   $3 topic   $4 partition   $5 sink   $6 epoch
UPDATE event_gate SET holder = NULL, until = NULL
WHERE holder = $1
  AND EXISTS (
    SELECT FROM sink_cursor
    WHERE log = $2 AND topic = $3 AND partition = $4 AND sink = $5 AND epoch = $6
    FOR SHARE
  )
