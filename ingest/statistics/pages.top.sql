-- The most viewed pages of [since, until); of equal ones the first by name.
--   table, begin  Identifier, of the minutes or the hours   since, until  epoch seconds   most
SELECT page_id, sum(views) AS seen, uniqMerge(users), sum(duration) / seen, sum(bounces) / seen
FROM {table:Identifier}
WHERE {begin:Identifier} >= toDateTime({since:UInt32}, 'UTC')
  AND {begin:Identifier} < toDateTime({until:UInt32}, 'UTC')
GROUP BY page_id
ORDER BY seen DESC, page_id
LIMIT {most:UInt32}
