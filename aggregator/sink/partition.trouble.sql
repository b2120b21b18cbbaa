-- Say why a cursor does not move, for readiness.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch   $6 what is wrong
UPDATE sink_cursor SET trouble = $6
WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5
