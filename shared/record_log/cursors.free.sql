-- Take everything from owners whose processes have ended. Their names never come again; the next claim raises the epoch.
-- $1 log   $2 owners
WITH forgotten AS (
    DELETE FROM sink_member WHERE log = $1 AND owner = ANY($2::text[])
)
UPDATE sink_cursor SET owner = NULL, lease_until = NULL WHERE log = $1 AND owner = ANY($2::text[])
