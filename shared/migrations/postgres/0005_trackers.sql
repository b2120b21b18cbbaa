-- Trackers whose hits count, and a number by which workers see that the table has changed (as 0002_banners.sql has it).

CREATE TABLE trackers (
    uuid       uuid        PRIMARY KEY,
    value      text        NOT NULL CHECK (octet_length(value) <= 4096),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE trackers IS 'Trackers that may be hit; each hit keeps the value that its tracker had at that moment';

-- One row. Whoever changes trackers holds its lock until the commit, so a version is never seen before the rows that belong to it.
CREATE TABLE trackers_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO trackers_version (version) VALUES (1);

CREATE FUNCTION trackers_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE trackers_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER trackers_changed AFTER INSERT OR DELETE OR UPDATE OF uuid, value OR TRUNCATE ON trackers
    FOR EACH STATEMENT EXECUTE FUNCTION trackers_raise_version();

CREATE FUNCTION trackers_note_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER trackers_updated BEFORE UPDATE ON trackers
    FOR EACH ROW WHEN (NEW.value IS DISTINCT FROM OLD.value) EXECUTE FUNCTION trackers_note_update();
