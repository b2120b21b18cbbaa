-- Note what became of the records of a range that begins at the cursor, and that nothing is wrong. Goes before `done` in one
-- transaction: a repeat finds the cursor moved and adds nothing.
-- $1 log   $2 topic   $3 partition   $4 sink   $5 epoch   $6 $7 next   $8 records stored   $9 dead-lettered   $10 skipped
-- $11 rows stored   $12 left out as duplicates   $13 dead-lettered
UPDATE sink_cursor
SET stored = stored + $8, dead_lettered = dead_lettered + $9, skipped = skipped + $10, rows_stored = rows_stored + $11,
    rows_duplicate = rows_duplicate + $12, rows_dead_lettered = rows_dead_lettered + $13, trouble = NULL
WHERE log = $1 AND topic = $2 AND partition = $3 AND sink = $4 AND epoch = $5 AND (next_offset, next_seq) = ($6, $7)
