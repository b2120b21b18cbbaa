-- What became of what records hold: of events, of which a record has many. Elsewhere a record is one row. Events that were stored
-- before are not in here: the books of events begin now, those of records go on.
ALTER TABLE sink_cursor
    ADD COLUMN rows_stored bigint NOT NULL DEFAULT 0,
    ADD COLUMN rows_duplicate bigint NOT NULL DEFAULT 0,
    ADD COLUMN rows_dead_lettered bigint NOT NULL DEFAULT 0;
UPDATE sink_cursor SET rows_stored = stored, rows_dead_lettered = dead_lettered WHERE topic <> 'events';
-- Offsets of Kafka that hold no record (markers, aborted transactions) were not counted so far, and are skipped.
UPDATE sink_cursor SET skipped = next_offset - stored - dead_lettered WHERE log = 'kafka';
