-- Users whose records were erased from ClickHouse, so that what comes back (from the log, a backup, an import) is erased
-- again. Kept in Postgres: a copy of ClickHouse that is put back knows nothing of what was erased after it was made.
CREATE TABLE erasures (
    -- SHA-256 of the user's id. The id itself is not kept.
    user_hash bytea       PRIMARY KEY CHECK (octet_length(user_hash) = 32),
    -- Records of later moments are of somebody who came back, and stay.
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE erasures IS 'Hashes of users that were erased from ClickHouse; docs/privacy.md';
