-- Keys of the HTTP interface, and a number by which workers see that the table has changed (as 0005_trackers.sql has it).

CREATE TABLE api_keys (
    prefix       text        PRIMARY KEY CHECK (prefix ~ '^[a-z2-7]{12}$'),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    name         text        NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
    scopes       text[]      NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 16),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

COMMENT ON TABLE api_keys IS 'Keys of the HTTP interface; hash is the SHA-256 of the secret, which is nowhere';
COMMENT ON COLUMN api_keys.last_used_at IS 'To the minute; written by the workers, and no change of the table to them';

-- One row. Whoever changes keys holds its lock until the commit, so a version is never seen before the rows that belong to it.
CREATE TABLE api_keys_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO api_keys_version (version) VALUES (1);

CREATE FUNCTION api_keys_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_changed
    AFTER INSERT OR DELETE OR UPDATE OF prefix, hash, scopes, expires_at, revoked_at OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_raise_version();
