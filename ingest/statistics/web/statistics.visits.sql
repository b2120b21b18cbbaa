-- Visits of a site that begin in a range of days, by a value of theirs. docs/collect.md defines them.
-- A visit is a chain of items of one visitor with gaps of at most half an hour that holds a view; a leave reaches back over the
-- time for which its page was visible. A chain at the begin of a day goes on from the last one of the same person on the day
-- before, unless that one has come over a midnight itself. So two days before the range and one behind it are looked at.
--   site   from, to  Date, the days of the site's zone, both in the range   tz  its zone   values  those wanted; all when empty
--   most   groups at most
WITH
    items AS (
        SELECT
            day, kind, view, n, toUnixTimestamp64Milli(time) AS ms, ms - engaged_ms AS begin, engaged_ms AS engaged,
            (visitor, bot != '') AS who, (visitor_before, bot != '') AS who_before,
            (host, path, referrer, source, medium, campaign, toString(ad), toString(country), toString(device), toString(browser), toString(os)) AS facts,
            path, name, target, banner
        FROM web_items
        WHERE site = {site:String}
          AND day BETWEEN {from:Date} - 2 AND {to:Date} + 1
          AND date BETWEEN {from:Date} - 4 AND {to:Date} + 3
          AND visitor > 0 AND ($traffic)
    ),
    chained AS (
        SELECT *, sum(is_new) OVER (PARTITION BY who ORDER BY ms, n, view ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS chain
        FROM (
            SELECT *, begin - lagInFrame(ms, 1, toInt64(0)) OVER (
                PARTITION BY who ORDER BY ms, n, view ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) > 1800000 AS is_new
            FROM items
        )
    ),
    pieces AS (
        SELECT
            who, chain, min(ms) AS first, max(ms) AS last, argMin(begin, (ms, n, view)) AS begin,
            argMin(who_before, (ms, n, view)) AS before, argMin(day, (ms, n, view)) AS day,
            countIf(kind = 'view') AS views, countIf(kind IN ('event', 'out')) AS acts, sum(engaged) AS engaged,
            argMinIf(facts, (ms, n, view), kind = 'view') AS facts, argMaxIf(path, (ms, n, view), kind = 'view') AS exit,
            groupUniqArrayIf(path, kind = 'view') AS pages, groupUniqArrayIf(name, kind = 'event') AS events,
            groupUniqArrayIf(target, kind = 'out') AS outs, groupUniqArrayIf(banner, kind = 'view' AND banner > 0) AS banners
        FROM chained
        GROUP BY who, chain
    ),
    ends AS (
        SELECT who, max(chain) AS chain, max(last) AS last FROM pieces GROUP BY who
    ),
    candidates AS (
        SELECT pieces.who AS who, ends.who AS owner, ends.chain AS owner_chain
        FROM pieces INNER JOIN ends ON pieces.before = ends.who
        WHERE pieces.chain = 1 AND tupleElement(pieces.before, 1) > 0 AND pieces.begin - ends.last <= 1800000
    ),
    joined AS (
        SELECT who, owner, owner_chain
        FROM candidates
        WHERE owner_chain > 1 OR owner NOT IN (SELECT who FROM candidates)
    ),
    owned AS (
        SELECT
            pieces.*,
            if(pieces.chain = 1 AND joined.owner_chain > 0, joined.owner, pieces.who) AS visitor,
            if(pieces.chain = 1 AND joined.owner_chain > 0, joined.owner_chain, pieces.chain) AS number
        FROM pieces LEFT JOIN joined ON pieces.who = joined.who
    ),
    visits AS (
        SELECT
            visitor, number, argMin(owned.day, owned.first) AS day, min(owned.first) AS first, max(owned.last) AS last,
            sum(owned.views) AS views, sum(owned.acts) AS acts, sum(owned.engaged) AS engaged,
            argMinIf(owned.facts, owned.first, owned.views > 0) AS facts, argMaxIf(owned.exit, owned.first, owned.views > 0) AS exit,
            arrayDistinct(groupArrayArray(owned.pages)) AS pages, arrayDistinct(groupArrayArray(owned.events)) AS events,
            arrayDistinct(groupArrayArray(owned.outs)) AS outs, arrayDistinct(groupArrayArray(owned.banners)) AS banners
        FROM owned
        GROUP BY visitor, number
        HAVING views > 0 AND day BETWEEN {from:Date} AND {to:Date}
    )
SELECT
    $value AS value, count() AS visits, countIf(views = 1 AND acts = 0) AS bounces, sum(last - first) AS duration_ms,
    sum(engaged) AS engaged_ms, sum(views) AS viewed, uniqExact((day, visitor)) AS visitor_days
FROM visits
WHERE ($filter)
GROUP BY value
HAVING empty({values:Array(String)}) OR has({values:Array(String)}, value)
ORDER BY $order
LIMIT {most:UInt32}
