-- Rows of the last days that came from a place in the log from which another row came: of one slice of all places, so that the
-- places fit into memory. Rows of one place are in one slice.
SELECT count() - uniqExact(log_partition, log_offset, log_seq)
FROM {table:Identifier}
WHERE {day:Identifier} >= today() - {days:UInt16} AND sipHash64(log_partition, log_offset, log_seq) % {slices:UInt16} = {slice:UInt16}
