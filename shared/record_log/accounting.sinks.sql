-- Every sink of a log, and what it reads.
-- $1 log
SELECT DISTINCT topic, sink FROM sink_cursor WHERE log = $1 ORDER BY topic, sink
