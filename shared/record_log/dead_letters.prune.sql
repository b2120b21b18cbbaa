-- Forget letters that were replayed or given up long ago; answers how many. The books have their number in sink_cursor.
-- $1 days
WITH pruned AS (
    DELETE FROM processing_errors WHERE coalesce(replayed_at, dropped_at) < now() - $1::integer * interval '1 day' RETURNING 1
)
SELECT count(*) FROM pruned
