-- Sessions of the dashboard, and a number by which workers see that the table has changed (as 0010_api_keys.sql has it).

CREATE TABLE sessions (
    -- SHA-256 of the token in the cookie. The token itself is nowhere.
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32),
    -- Who signed in: a key, whose scopes are looked up each time, or the subject of a token (JWT), with the scopes that it had.
    prefix     text        REFERENCES api_keys ON DELETE CASCADE,
    subject    text        CHECK (length(subject) <= 255),
    scopes     text[]      CHECK (cardinality(scopes) BETWEEN 1 AND 16),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    CHECK (num_nulls(prefix, subject) = 1 AND (subject IS NULL) = (scopes IS NULL))
);

CREATE INDEX sessions_prefix ON sessions (prefix);
CREATE INDEX sessions_subject ON sessions (subject);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'Sessions of the dashboard; hash is the SHA-256 of the token in the cookie, which is nowhere';

-- One row. Whoever changes sessions holds its lock until the commit, so a version is never seen before the rows that belong to it.
CREATE TABLE sessions_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO sessions_version (version) VALUES (1);

CREATE FUNCTION sessions_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER sessions_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sessions
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_raise_version();
