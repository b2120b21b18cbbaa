-- A page of the sites by name, each with its hosts. $1 the last name of the page before, or ''; $2 rows at most
SELECT site, timezone, settings::text AS settings,
    ARRAY(SELECT host FROM site_hosts WHERE site_hosts.site = sites.site ORDER BY host) AS hosts
FROM sites WHERE site > $1 ORDER BY site LIMIT $2
