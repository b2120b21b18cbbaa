-- A page of event logs behind a place, and whether more follows. Rows of one place stand side by side: they are one event.
-- Whatever the filter names several times is worked out once: short circuits would do it again for each of its branches.
--   since, until             Int64, microseconds since 1970: [since, until)
--   event_type, environment  String, empty for all of them
--   at, id                   Int64 and UUID, behind which the page begins
--   rows, bytes              rows at most; bytes of contexts: the first row comes always, further ones as long as they fit
SELECT micros, toString(event_id), event_type, environment, metadata_version, body, carried, found > count() OVER ()
FROM (
    SELECT *,
        count() OVER () AS found,
        row_number() OVER (ORDER BY micros $order, event_id $order) AS number,
        sum(size) OVER (ORDER BY micros $order, event_id $order ROWS UNBOUNDED PRECEDING) - size AS before
    FROM (
        SELECT toUnixTimestamp64Micro(event_date_time) AS micros, event_id, event_type, environment, metadata_version,
            toString(event_context) AS body, toString(context) AS carried, length(body) + length(carried) AS size
        FROM event_log
        WHERE event_date_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
          AND event_date_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
          AND ({event_type:String} = '' OR event_type = {event_type:String})
          AND ({environment:String} = '' OR environment = {environment:String})
          AND ($behind)
          AND ($segment)
        ORDER BY event_date_time $order, event_id $order
        LIMIT {rows:UInt32} + 1
    )
)
WHERE number <= {rows:UInt32} AND before < {bytes:UInt64}
ORDER BY number
SETTINGS short_circuit_function_evaluation = 'disable'
