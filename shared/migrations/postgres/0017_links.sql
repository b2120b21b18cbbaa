-- Redirect links, and a number by which workers see that the table has changed (as 0005_trackers.sql has it).

CREATE TABLE links (
    slug       text        COLLATE "C" PRIMARY KEY CHECK (slug ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'),
    banner_id  bigint      NOT NULL CHECK (banner_id BETWEEN 1 AND 9007199254740991),
    url        text        NOT NULL CHECK (octet_length(url) <= 2048),
    query      text        NOT NULL DEFAULT 'keep' CHECK (query IN ('keep', 'append', 'override')),
    pass       text[]      NOT NULL DEFAULT '{}' CHECK (cardinality(pass) <= 32),
    click_id   boolean     NOT NULL DEFAULT false,
    expires_at timestamptz,
    max_clicks bigint      CHECK (max_clicks BETWEEN 1 AND 9007199254740991),
    active     boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE links IS 'Redirect links: GET /r/{slug} counts a click of the banner and leads to the url';

-- One row. Whoever changes links holds its lock until the commit, so a version is never seen before the rows that belong to it.
CREATE TABLE links_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO links_version (version) VALUES (1);

CREATE FUNCTION links_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE links_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER links_changed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON links
    FOR EACH STATEMENT EXECUTE FUNCTION links_raise_version();

CREATE FUNCTION links_note_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER links_updated BEFORE UPDATE ON links
    FOR EACH ROW WHEN (NEW.* IS DISTINCT FROM OLD.*) EXECUTE FUNCTION links_note_update();
