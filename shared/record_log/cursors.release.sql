-- Give a partition back at once. What is pending stays for whoever takes it next.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch
UPDATE sink_cursor SET owner = NULL, lease_until = NULL
WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5
