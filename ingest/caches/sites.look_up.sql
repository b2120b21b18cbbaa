-- The sites of these names, as sites.page.sql has them. $1 names text[]
SELECT site, timezone, settings::text AS settings,
    ARRAY(SELECT host FROM site_hosts WHERE site_hosts.site = sites.site ORDER BY host) AS hosts
FROM sites WHERE site = ANY($1::text[])
