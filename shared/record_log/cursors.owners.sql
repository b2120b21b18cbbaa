-- Everybody who holds a partition of the log, or is counted among those who share them.
-- $1 log
SELECT owner FROM sink_cursor WHERE log = $1 AND owner IS NOT NULL
UNION
SELECT owner FROM sink_member WHERE log = $1
