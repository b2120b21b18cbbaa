-- Hold partitions for longer. Returns those that are still held.
-- $1 log   $2 topic   $3 sink   $4 partitions   $5 their epochs   $6 lease in seconds
UPDATE sink_cursor AS held SET lease_until = now() + $6::double precision * interval '1 second'
FROM unnest($4::int[], $5::bigint[]) AS mine (partition, epoch)
WHERE held.log = $1 AND held.topic = $2 AND held.sink = $3 AND held.owner IS NOT NULL
  AND held.partition = mine.partition AND held.epoch = mine.epoch
RETURNING held.partition
