-- The marks of one cursor.
-- $1 log   $2 topic   $3 partition   $4 sink
SELECT producer, seq, place FROM sink_mark WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4
