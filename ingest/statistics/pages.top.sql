-- The most viewed pages of [since, until); of equal ones the first by name.
--   table, begin  Identifier, of the minutes or the hours   since, until  epoch seconds   most
--   pages         Array(String), the pages to look at; all when empty
SELECT page_id, sum(views) AS seen, uniqMerge(users), sum(duration) / seen, sum(bounces) / seen
FROM {table:Identifier}
WHERE {begin:Identifier} >= toDateTime({since:UInt32}, 'UTC')
  AND {begin:Identifier} < toDateTime({until:UInt32}, 'UTC')
  AND (empty({pages:Array(String)}) OR has({pages:Array(String)}, page_id))
GROUP BY page_id
ORDER BY seen DESC, page_id
LIMIT {most:UInt32}
