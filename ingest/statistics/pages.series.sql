-- What page views add up to in [since, until), by bucket and in all: buckets without views are left out.
--   table, begin  Identifier, of the minutes or the hours   since, until  epoch seconds   page  or empty for all of them
--   bucket  by `size`, UInt32 seconds, or by `starts`, Array(UInt32): beginnings of the buckets in epoch seconds
-- Sums of sums, and one state of all users: neither users nor averages of buckets may be added.
SELECT
    grouping(bucket) AS is_total,
    $bucket AS bucket,
    sum(views) AS seen,
    uniqMerge(users),
    sum(duration) / seen,
    sum(bounces) / seen
FROM {table:Identifier}
WHERE {begin:Identifier} >= toDateTime({since:UInt32}, 'UTC')
  AND {begin:Identifier} < toDateTime({until:UInt32}, 'UTC')
  AND ({page:String} = '' OR page_id = {page:String})
GROUP BY GROUPING SETS ((bucket), ())
ORDER BY is_total DESC, bucket
