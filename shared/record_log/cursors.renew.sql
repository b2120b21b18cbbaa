-- Hold a partition for longer. Hits one row, or somebody else has it.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch   $6 lease in seconds
UPDATE sink_cursor SET lease_until = now() + $6::double precision * interval '1 second'
WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5 AND owner IS NOT NULL
