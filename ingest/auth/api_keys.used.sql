-- When keys were used last. $1 prefixes, $2 the times. Rows that another worker or a command works on are left to them,
-- and what is younger than a minute stays, so that many workers cost few writes.
WITH used AS (SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS used (prefix, at)),
due AS (
    SELECT api_keys.prefix, used.at
    FROM api_keys JOIN used USING (prefix)
    WHERE last_used_at IS NULL OR last_used_at < used.at - interval '1 minute'
    FOR NO KEY UPDATE OF api_keys SKIP LOCKED
)
UPDATE api_keys SET last_used_at = due.at FROM due WHERE api_keys.prefix = due.prefix
