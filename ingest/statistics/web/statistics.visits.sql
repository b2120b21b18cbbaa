-- Visits of a site that begin in a range of days, by a value of theirs. docs/collect.md defines them.
-- A visit is a chain of items of one visitor with gaps of at most half an hour that holds a view; a leave reaches back over the
-- time for which its page was visible. A chain at the begin of a day goes on from the last one of the same person on the day
-- before, unless that one has come over a midnight itself. So two days before the range and one behind it are looked at.
-- Machines and people under one visitor are two: `side` keeps them apart. `place` orders items, also of one millisecond.
-- Of the few who come over a midnight, `early` and `owners` read little; all others are read once.
--   site   from, to  Date, the days of the site's zone, both in the range   tz  its zone   values  those wanted; all when empty
--   most   groups at most
WITH
    items AS (
        SELECT
            day, kind, toUnixTimestamp64Milli(time) AS ms, ms * 10000 + n AS place, ms - engaged_ms AS begin, engaged_ms AS engaged,
            if(bot = '', 0, 11400714819323198485) AS side, bitXor(visitor, side) AS who,
            if(visitor_before = 0, 0, bitXor(visitor_before, side)) AS former, $facts AS facts, $exit AS last_path, $one AS one
        FROM web_items
        WHERE site = {site:String}
          AND day BETWEEN {from:Date} - 2 AND {to:Date} + 1
          AND date BETWEEN {from:Date} - 4 AND {to:Date} + 3
          AND visitor > 0 AND ($traffic)
    ),
    -- Whoever came in the first half hour of a day: then the first item of the day has come in it, too.
    early AS (
        SELECT who, argMin(begin, place) AS reached, any(former) AS before
        FROM items
        WHERE former > 0
        GROUP BY who
    ),
    -- Who they may have been on the day before: the end of the last chain, its begin, and whether it is the only one.
    owners AS (
        SELECT
            who, arraySort(groupArray((place, ms, begin))) AS sorted, tupleElement(sorted[-1], 2) AS last,
            arrayFilter(
                (item, earlier) -> tupleElement(item, 3) - tupleElement(earlier, 2) > 1800000,
                arrayPopFront(sorted), arrayPopBack(sorted)
            ) AS following,
            empty(following) AS is_only, if(is_only, tupleElement(sorted[1], 2), tupleElement(following[-1], 2)) AS first
        FROM items
        WHERE who IN (SELECT before FROM early)
        GROUP BY who
    ),
    candidates AS (
        SELECT early.who AS who, owners.who AS owner, owners.first AS owner_first, owners.is_only AS is_only
        FROM early INNER JOIN owners ON early.before = owners.who
        WHERE early.reached - owners.last <= 1800000
    ),
    joined AS (
        SELECT who, owner, owner_first
        FROM candidates
        WHERE NOT is_only OR owner NOT IN (SELECT who FROM candidates)
    ),
    pieces AS (
        SELECT
            who, chain, min(ms) AS first, max(ms) AS last, argMin(day, place) AS day,
            countIf(kind = 'view') AS views, countIf(kind IN ('event', 'out')) AS acts, sum(engaged) AS engaged,
            argMinIf(facts, place, kind = 'view') AS facts, argMaxIf(last_path, place, kind = 'view') AS exit,
            groupUniqArrayIf(one, $of) AS several
        FROM (
            SELECT *, sum(is_new) OVER (PARTITION BY who ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS chain
            FROM (
                SELECT *, begin - lagInFrame(ms, 1, toInt64(0)) OVER (
                    PARTITION BY who ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) > 1800000 AS is_new
                FROM items
            )
        )
        GROUP BY who, chain
    ),
    visits AS (
        SELECT
            if(chain = 1 AND joined.owner_first > 0, joined.owner, pieces.who) AS visitor,
            if(chain = 1 AND joined.owner_first > 0, joined.owner_first, pieces.first) AS number,
            argMin(pieces.day, pieces.first) AS day, min(pieces.first) AS first, max(pieces.last) AS last,
            sum(pieces.views) AS views, sum(pieces.acts) AS acts, sum(pieces.engaged) AS engaged,
            argMinIf(pieces.facts, pieces.first, pieces.views > 0) AS facts,
            argMaxIf(pieces.exit, pieces.first, pieces.views > 0) AS exit,
            arrayDistinct(groupArrayArray(pieces.several)) AS several
        FROM pieces LEFT JOIN joined ON pieces.who = joined.who
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
