-- A page of the keys by prefix. $1 the last prefix of the page before, or ''; $2 rows at most
SELECT prefix, hash, scopes, expires_at, revoked_at FROM api_keys WHERE prefix > $1 ORDER BY prefix LIMIT $2
