-- Partitions of days that are over, oldest first. Their names are made by tallybook_outbox_make_partition.
SELECT child.relname::text AS partition
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'tallybook_outbox'::regclass
  AND child.relname ~ '^tallybook_outbox_\d{4}_\d{2}_\d{2}$'
  AND to_date(right(child.relname, 10), 'YYYY_MM_DD') < (now() AT TIME ZONE 'UTC')::date
ORDER BY 1
