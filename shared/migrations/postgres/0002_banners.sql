-- The banners that count when TALLYBOOK_BANNERS=registered, and a number by which workers see that the table has changed.

CREATE TABLE banners (
    banner_id  bigint      PRIMARY KEY CHECK (banner_id BETWEEN 1 AND 9007199254740991),
    name       text        NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE banners IS 'Banners whose clicks count; only looked at when TALLYBOOK_BANNERS=registered';

-- One row. Whoever changes banners holds its lock until the commit, so a version is never seen before the rows that belong to it.
CREATE TABLE banners_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO banners_version (version) VALUES (1);

CREATE FUNCTION banners_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE banners_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER banners_changed AFTER INSERT OR DELETE OR UPDATE OF banner_id OR TRUNCATE ON banners
    FOR EACH STATEMENT EXECUTE FUNCTION banners_raise_version();
