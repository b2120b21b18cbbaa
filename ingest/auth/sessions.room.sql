-- Remove what has expired, and the oldest sessions of a caller that leave no room for one more. Call it under the lock of the version.
-- $1 prefix, or null   $2 subject, or null   $3 sessions that may stay
DELETE FROM sessions
WHERE expires_at <= clock_timestamp() OR hash IN (
    SELECT hash FROM sessions WHERE prefix = $1 OR subject = $2 ORDER BY created_at DESC, hash OFFSET $3
)
