-- Forget marks of producers that have been silent for long; answers how many.
-- $1 log   $2 days
WITH pruned AS (
    DELETE FROM sink_mark WHERE log = $1 AND marked_at < now() - $2::integer * interval '1 day' RETURNING 1
)
SELECT count(*) FROM pruned
