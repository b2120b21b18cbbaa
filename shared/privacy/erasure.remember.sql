-- Note that a user was erased; once more is later.
-- $1 bytea, SHA-256 of the id
INSERT INTO erasures (user_hash) VALUES ($1)
ON CONFLICT (user_hash) DO UPDATE SET erased_at = clock_timestamp()
