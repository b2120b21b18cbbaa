-- Add trackers, or give new values to those that are there.
-- $1 ids, $2 values of the same length, no id twice; the status counts the rows that are new or changed
INSERT INTO trackers (uuid, value)
SELECT uuid, value FROM unnest($1::uuid[], $2::text[]) AS given (uuid, value)
ORDER BY uuid
ON CONFLICT (uuid) DO UPDATE SET value = EXCLUDED.value
WHERE EXCLUDED.value <> trackers.value
