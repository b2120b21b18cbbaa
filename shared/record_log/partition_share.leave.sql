-- Take this process off the list of those that share the topic.
-- $1 log   $2 topic   $3 sink   $4 owner
DELETE FROM sink_member WHERE log = $1 AND topic = $2 AND sink = $3 AND owner = $4
