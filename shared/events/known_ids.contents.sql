-- What the table says of some events, as a hash (shared/events/known_ids.py): {events} has in hexadecimal the day, two bytes, and
-- the id of each, {count} how many they are. The key of the table finds them; what is on another day is not found.
SELECT
    event_id,
    MD5(concat(toString(toUnixTimestamp64Milli(occurred_at)), char(0), user_id, char(0), event_type, char(0), properties))
FROM events FINAL
WHERE (event_date, event_id) IN (
    SELECT
        toDate(reinterpretAsUInt16(substring(unhex({events:String}), number * 18 + 1, 2))),
        reinterpretAsUUID(substring(unhex({events:String}), number * 18 + 3, 16))
    FROM numbers({count:UInt32})
)
