-- How many sinks read a topic.
-- $1 log   $2 topic
SELECT count(DISTINCT sink) FROM sink_cursor WHERE log = $1 AND topic = $2
