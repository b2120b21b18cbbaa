-- Salts of visitors, one for each day. Whoever has a salt can tell whether an address and a user agent were a visitor of its day;
-- once it is gone nobody can. The aggregator makes them ahead and removes them.

CREATE TABLE web_salts (
    day  date  PRIMARY KEY,
    salt bytea NOT NULL CHECK (octet_length(salt) = 32)
);

COMMENT ON TABLE web_salts IS 'Secrets of single days: leave them out of dumps (pg_dump --exclude-table-data=web_salts)';

-- Yesterday lasts on somewhere, and nobody makes the salt of a day that has begun. 244 bits of chance.
INSERT INTO web_salts
SELECT (now() AT TIME ZONE 'UTC')::date - 1,
       sha256(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
