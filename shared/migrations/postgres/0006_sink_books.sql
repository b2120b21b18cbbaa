-- Records before the cursor that the log counts and that this sink never has: repeats of a producer, and dead letters of another sink
-- that were replayed.
ALTER TABLE sink_cursor ADD COLUMN skipped bigint NOT NULL DEFAULT 0;

-- The record that a replay began to append, which may differ from the one that was refused. Once it is set no other one is sent.
ALTER TABLE processing_errors ADD COLUMN sending bytea;
