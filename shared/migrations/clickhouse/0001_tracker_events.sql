-- Events of trackers, one row each. Every statement of a migration has to bear a repetition: there are no transactions.
--
-- The window of block ids is what makes a repeated insert count once; its default, 0, ignores the token without a word.
-- The three settings of fsync put an acknowledged insert on the disk: without them it is in the page cache only.
CREATE TABLE IF NOT EXISTS tracker_events (
    date          Date                   COMMENT 'Day of date_time, UTC',
    date_time     DateTime64(3, 'UTC'),
    event_id      UUID,
    tracker_id    UUID,
    ip            IPv6                   COMMENT 'IPv4 as ::ffff:203.0.113.9',
    user_id       UUID,
    user_agent    String,
    url           String,
    value         String,
    is_bot        Bool,
    log_partition UInt16                 COMMENT 'Where in the log the event came from: partition, offset, and place in it',
    log_offset    UInt64,
    log_seq       UInt32
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(date)
-- Counts are asked for by tracker and range, in days or to the millisecond.
ORDER BY (tracker_id, date, date_time)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    ttl_only_drop_parts = 1;
