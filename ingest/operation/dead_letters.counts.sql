-- How many letters wait, by table and reason, the most first.
-- $1 table, or '' for all of them   $2 rows at most
SELECT sink, reason, count(*) AS letters
FROM processing_errors
WHERE replayed_at IS NULL AND dropped_at IS NULL AND ($1 = '' OR sink = $1)
GROUP BY sink, reason
ORDER BY letters DESC, sink, reason
LIMIT $2
