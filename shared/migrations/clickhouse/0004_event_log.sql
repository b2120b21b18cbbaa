-- Events of applications, one row each, brought by the relay of the outbox (docs/outbox.md). Every statement bears a repetition.
--
-- The window of block ids is what makes a repeated insert count once; the settings of fsync put an acknowledged one on the disk.
CREATE TABLE IF NOT EXISTS event_log (
    event_type       LowCardinality(String),
    event_date_time  DateTime64(6, 'UTC'),
    environment      LowCardinality(String),
    event_context    JSON,
    metadata_version UInt64,
    event_id         UUID,
    context          JSON                   COMMENT 'Trace and log context of the writer',
    outbox           UUID                   COMMENT 'Where the event came from: the outbox, transaction, and place in it',
    outbox_xid       UInt64,
    outbox_id        UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_date_time)
-- Incidents are looked into by type and time.
ORDER BY (event_type, event_date_time, event_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;
