-- Empty the dead letters that hold the id of a user as a value of JSON; the rows stay for the books.
-- $1 bytea[], the ways to write it
UPDATE processing_errors
SET key = NULL, raw = NULL, dropped_at = CASE WHEN replayed_at IS NULL THEN coalesce(dropped_at, now()) ELSE dropped_at END
WHERE raw IS NOT NULL AND EXISTS (SELECT FROM unnest($1::bytea[]) AS written WHERE position(written IN raw) > 0)
RETURNING 1
