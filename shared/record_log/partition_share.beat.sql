-- Say that this process reads the topic for the sink; answers how many partitions there are, how many processes share them,
-- and the place of this one among them. The order differs from topic to topic, so that it is not always the same who gets more.
-- $1 log   $2 topic   $3 sink   $4 owner   $5 lease in seconds
WITH me AS (
    INSERT INTO sink_member (log, topic, sink, owner, lease_until)
    VALUES ($1, $2, $3, $4, now() + $5::double precision * interval '1 second')
    ON CONFLICT (log, topic, sink, owner) DO UPDATE SET lease_until = EXCLUDED.lease_until
    RETURNING owner
), gone AS (
    DELETE FROM sink_member
    WHERE log = $1 AND topic = $2 AND sink = $3 AND owner <> $4 AND lease_until < now() - interval '1 hour'
), alive AS (
    SELECT owner FROM sink_member WHERE log = $1 AND topic = $2 AND sink = $3 AND lease_until >= now()
    UNION
    SELECT owner FROM me
)
SELECT (SELECT count(*) FROM sink_cursor WHERE log = $1 AND topic = $2 AND sink = $3) AS partitions,
       count(*) AS members,
       count(*) FILTER (WHERE md5(owner || $2 || $3) < md5($4 || $2 || $3)) AS place
FROM alive
