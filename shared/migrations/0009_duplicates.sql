-- Records that a sink left out because the same event lies before them: neither stored nor dead letters.
ALTER TABLE sink_cursor ADD COLUMN duplicates bigint NOT NULL DEFAULT 0;
