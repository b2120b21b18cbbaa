-- A page of the sessions by hash. $1 the last hash of the page before, or ''; $2 rows at most
SELECT hash, prefix, subject, scopes, expires_at FROM sessions WHERE hash > $1 ORDER BY hash LIMIT $2
