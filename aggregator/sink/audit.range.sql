-- Rows of a table that come from a range of one partition of the log, and how many places in the log they come from
SELECT count(), uniqExact(log_offset, log_seq)
FROM {table:Identifier}
WHERE log_partition = {partition:UInt16}
  AND (log_offset, log_seq) >= ({first_offset:UInt64}, {first_seq:UInt64})
  AND (log_offset, log_seq) < ({end_offset:UInt64}, {end_seq:UInt64})
