-- Visits of a site that begin in a range of days, by a value of theirs and in all. docs/collect.md defines them.
-- A visit is a chain of items of one visitor with gaps of at most half an hour that holds a view; a leave reaches back over the
-- time for which its page was visible. A chain at the begin of a day goes on from the last one of the same person on the day
-- before, unless that one has come over a midnight itself. For the few who may have come over a midnight (`near`) two days before
-- the range and one behind it are read; for all others (`people`) the range alone, once.
-- An item is one number: its time, its number in the view, its engaged time, its kind. So a sorted array is in the order of time,
-- also within a millisecond. `marks` are what is asked of some of them, named by `keys`. Machines and people under one visitor are
-- two: `who` keeps them apart.
--   site   from, to  Date, the days of the site's zone, both in the range   tz  its zone   values  those wanted; all when empty
--   most   values at most
--   returns value, and numbers: visits, bounces, ms from first to last item, engaged ms, views, visitor days. The value NULL is that
--           of all visits; its numbers go on with views, views of nobody and visitor days of rows, whether or not visits have them.
WITH
    items AS (
        SELECT
            *, if(bot = '', 0, 11400714819323198485) AS side, if(visitor = 0, 0, bitXor(visitor, side)) AS who,
            if(visitor_before = 0, 0, bitXor(visitor_before, side)) AS former,
            bitShiftLeft(toUInt128(toUnixTimestamp64Milli(time)), 64) + bitShiftLeft(toUInt64(n), 32)
                + toUInt64(engaged_ms) * 4 + toUInt8(kind) - 1 AS item
        FROM web_items
        WHERE site = {site:String} AND ($traffic)
    ),
    near AS (
        SELECT who, before, length(chains) = 1 AS is_only, chains[-1][-1] AS last, (chains[1], keys, marks) AS head
        FROM (
            SELECT who, before, keys, marks, $chains AS chains
            FROM (
                SELECT who, max(former) AS before, $arrays
                FROM items
                WHERE day BETWEEN {from:Date} - 2 AND {to:Date} + 1
                  AND date BETWEEN {from:Date} - 4 AND {to:Date} + 3
                  AND visitor IN (
                      SELECT arrayJoin([visitor, visitor_before])
                      FROM items
                      WHERE visitor > 0 AND visitor_before > 0
                        AND day BETWEEN {from:Date} - 1 AND {to:Date} + 1
                        AND date BETWEEN {from:Date} - 3 AND {to:Date} + 3
                  )
                GROUP BY who
            )
        )
    ),
    -- Who they were on the day before, if that ended soon before they began.
    candidates AS (
        SELECT owner, heir, is_whole, tail
        FROM (
            SELECT
                link AS owner, count() AS sides, anyIf(who, is_heir) AS heir, anyIf(head, is_heir) AS tail,
                anyIf(last, NOT is_heir) AS ended, anyIf(is_only, NOT is_heir) AS is_whole
            FROM near
            ARRAY JOIN [who, before] AS link, [false, true] AS is_heir
            WHERE link > 0
            GROUP BY link
        )
        WHERE sides = 2 AND heir > 0 AND $gap <= 1800000
    ),
    joined AS (
        SELECT one AS its_owner, anyIf(heir, NOT is_heir) AS its_heir, anyIf(tail, NOT is_heir) AS its_tail
        FROM candidates
        ARRAY JOIN [owner, heir] AS one, [false, true] AS is_heir
        GROUP BY one
        HAVING countIf(NOT is_heir) > 0 AND NOT (countIf(is_heir) > 0 AND anyIf(is_whole, NOT is_heir))
    ),
    bridges AS (
        SELECT one AS who, countIf(is_heir) AS is_rest, anyIf(its_tail, NOT is_heir) AS tail
        FROM joined
        ARRAY JOIN [its_owner, its_heir] AS one, [false, true] AS is_heir
        GROUP BY one
    ),
    people AS (
        SELECT who, its_day, counted, keys, marks, $chains AS chains
        FROM (
            SELECT
                who, min(day) AS its_day,
                [
                    countIf(kind = 'view' AND ($rows)), countIf(kind = 'view' AND visitor = 0 AND ($rows)),
                    max(visitor > 0 AND ($rows))
                ] AS counted,
                $arrays
            FROM items
            WHERE day BETWEEN {from:Date} AND {to:Date} AND date BETWEEN {from:Date} - 2 AND {to:Date} + 2
            GROUP BY who
        )
    ),
    whole AS (
        SELECT
            its_day, counted, arrayConcat(people.keys, tail.2) AS keys, arrayConcat(people.marks, tail.3) AS marks,
            arrayFilter(
                chain -> arrayExists(item -> $is_view, chain) AND ($filter),
                arraySlice(
                    if(empty(tail.1), people.chains, arrayPushBack(arrayPopBack(people.chains), arrayConcat(people.chains[-1], tail.1))),
                    1 + is_rest
                )
            ) AS chains
        FROM people LEFT ANY JOIN bridges ON people.who = bridges.who
    ),
    visits AS (
        SELECT
            counted, arrayFlatten(several) AS texts,
            arrayFlatten(arrayMap((one, place) -> arrayWithConstant(length(one), place), several, arrayEnumerate(several))) AS places,
            arrayMap(
                chain -> [
                    1, arrayCount(item -> $is_view, chain) = 1 AND NOT arrayExists(item -> $is_act, chain), $duration,
                    arraySum(item -> $engaged, chain), arrayCount(item -> $is_view, chain)
                ],
                chains
            ) AS numbers
        FROM (SELECT counted, chains, arrayMap(chain -> $values, chains) AS several FROM whole)
    )
SELECT value, sumForEach(sums) AS numbers
FROM (
    SELECT
        arrayPushFront(CAST(texts, 'Array(Nullable(String))'), NULL) AS all_values,
        arrayPushFront(
            arrayMap((place, nth) -> arrayPushBack(numbers[place], nth = 1), places, arrayEnumerateUniq(texts)),
            arrayConcat(arrayResize(arrayReduce('sumForEach', numbers), 5), [notEmpty(numbers)], CAST(counted, 'Array(Int64)'))
        ) AS all_sums
    FROM visits
)
ARRAY JOIN all_values AS value, all_sums AS sums
WHERE value IS NULL OR empty({values:Array(String)}) OR has({values:Array(String)}, value)
GROUP BY value
ORDER BY value IS NULL DESC, $order
LIMIT {most:UInt32} + 1
