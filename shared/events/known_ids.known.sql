-- Which of these ids the table has from elsewhere than from one range of one partition: {ids} is their bytes in hexadecimal,
-- {count} how many they are.
SELECT DISTINCT event_id
FROM events
WHERE event_id IN (
    SELECT reinterpretAsUUID(substring(unhex({ids:String}), number * 16 + 1, 16)) FROM numbers({count:UInt32})
)
AND NOT (
    log_partition = {partition:UInt16}
    AND (log_offset, log_seq) >= ({first_offset:UInt64}, {first_seq:UInt32})
    AND (log_offset, log_seq) < ({end_offset:UInt64}, {end_seq:UInt32})
)
