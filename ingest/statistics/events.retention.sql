-- Users by the window of their first activity and by a window in which they were active, both from 1. Where nobody of
-- a cohort was active there is no row.
--
-- A user is a set of bits: bit 0 is activity before the first window, bit n activity in window n. Whoever has bit 0 is
-- not new and in no cohort. Sets are blind to the order of events and to how many there are.
--   bounds      Array(Int64), epoch seconds: beginnings of the windows, the end of the last one, and a second behind all.
--               Windows last whole days give or take a few hours in all, so a window is the one of its days or next to it.
--   last        Date, the last day of UTC that a window touches
--   seconds     Int64, of a window
--   event_type  String, what counts as activity; empty: everything does
WITH
    {bounds:Array(Int64)} AS bounds,
    toInt64(toUnixTimestamp(occurred_at)) AS second,
    greatest(intDiv(second - bounds[1], {seconds:Int64}), 0) + 1 AS guess,
    if(second < bounds[1], 0, guess + (second >= bounds[guess + 1]) - (second < bounds[guess])) AS bit
SELECT cohort, arrayJoin(active) AS window, count() AS users
FROM (
    SELECT bitPositionsToArray(groupBitOr(bitShiftLeft(toUInt64(1), bit))) AS active, active[1] AS cohort
    FROM $events
    WHERE event_date <= {last:Date}
      AND second < bounds[-2]
      AND ({event_type:String} = '' OR event_type = {event_type:String})
    GROUP BY user_hash
    HAVING cohort > 0
)
GROUP BY cohort, window
ORDER BY cohort, window
