-- A sample of events: the last ones by day and id, which are no more than that.
--   since       Date, the first day   event_type  String, empty for all of them
--   bytes       of properties at most: others are left out   rows  at most
SELECT event_type, toString(user_hash), properties
FROM events
WHERE event_date >= {since:Date}
  AND ({event_type:String} = '' OR event_type = {event_type:String})
  AND length(properties) <= {bytes:UInt32}
ORDER BY event_date DESC, event_id DESC
LIMIT {rows:UInt32}
