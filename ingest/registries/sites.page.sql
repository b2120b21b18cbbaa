-- A page of the sites by name, each with its hosts.
-- $1 the last name of the page before, or ''   $2 text to look for, or '' for all of them   $3 pattern of a host or name   $4 rows at most
SELECT site, timezone, settings::text AS settings, created_at,
    ARRAY(SELECT host FROM site_hosts WHERE site_hosts.site = sites.site ORDER BY host COLLATE "C") AS hosts
FROM sites
WHERE site COLLATE "C" > $1
  AND ($2 = '' OR site ~ $3 OR EXISTS (SELECT FROM site_hosts WHERE site_hosts.site = sites.site AND host ~ $3))
ORDER BY site COLLATE "C"
LIMIT $4
