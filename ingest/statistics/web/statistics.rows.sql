-- Views and other items of a site in a range of days, by a value of theirs.
--   site   from, to  Date, the days of the site's zone, both in the range   tz  its zone   most  groups at most
SELECT
    $value AS value, countIf(kind = 'view') AS views, countIf(kind = 'view' AND visitor = 0) AS unattributed,
    uniqExactIf(bitXor(visitor, if(bot = '', 0, 11400714819323198485)), visitor > 0) AS visitor_days, count() AS items
FROM web_items
WHERE site = {site:String}
  AND day BETWEEN {from:Date} AND {to:Date}
  AND date BETWEEN {from:Date} - 2 AND {to:Date} + 2
  AND ($traffic) AND ($of) AND ($filter)
GROUP BY value
ORDER BY $order
LIMIT {most:UInt32}
