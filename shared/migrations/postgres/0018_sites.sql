-- Sites whose pages may report to POST /c, the hosts of each, and a number by which workers see that one of both has changed (as
-- 0005_trackers.sql has it). A host belongs to one site: it is the name of a host, its subdomains as *.shop.example, or an IPv6 address
-- in brackets.

CREATE TABLE sites (
    site       text        PRIMARY KEY CHECK (site ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
    timezone   text        NOT NULL DEFAULT 'UTC',
    settings   jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE sites IS 'Sites whose pages may report to POST /c';

CREATE TABLE site_hosts (
    host text PRIMARY KEY CHECK (host ~ '^((\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$' AND octet_length(host) <= 255),
    site text NOT NULL REFERENCES sites ON DELETE CASCADE
);

CREATE INDEX site_hosts_site ON site_hosts (site);

CREATE TABLE sites_version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version bigint  NOT NULL
);

INSERT INTO sites_version (version) VALUES (1);

CREATE FUNCTION sites_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sites_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER sites_changed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON sites
    FOR EACH STATEMENT EXECUTE FUNCTION sites_raise_version();

CREATE TRIGGER site_hosts_changed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON site_hosts
    FOR EACH STATEMENT EXECUTE FUNCTION sites_raise_version();
