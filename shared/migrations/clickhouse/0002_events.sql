-- Product events, one row each. What counts is `events FINAL` (shared/events.py): rows of one id and day are one event at
-- every moment, merged or not, and the earliest one wins. Whoever writes makes sure that no id is on two days
-- (docs/events.md); `by_id` is where ids are looked up for that.
--
-- The window of block ids and the three settings of fsync are explained in 0001.
CREATE TABLE IF NOT EXISTS events (
    event_date    Date                   COMMENT 'Day of occurred_at, UTC',
    occurred_at   DateTime64(3, 'UTC'),
    event_id      UUID,
    user_id       String,
    event_type    LowCardinality(String),
    properties    String                 COMMENT 'A JSON object, as it was sent' CODEC(ZSTD(1)),
    received_at   DateTime64(3, 'UTC'),
    log_partition UInt16                 COMMENT 'Where the event came from: partition, offset, and place in the log; or of an import',
    log_offset    UInt64,
    log_seq       UInt32,
    precedence    UInt64 MATERIALIZED 18446744073709551615 - toUnixTimestamp64Milli(received_at)
                                         COMMENT 'Greater when received earlier: a merge keeps the greatest',
    user_hash     UInt128 MATERIALIZED reinterpretAsUInt128(sipHash128(user_id))
                                         COMMENT 'What sets of users are made of' CODEC(NONE),
    insert_before DateTime('UTC') DEFAULT 0
                                         COMMENT 'Of an import: when its insert had to begin at the latest',
    CONSTRAINT is_in_time CHECK insert_before = 0 OR now() < insert_before,
    PROJECTION by_id (SELECT event_id, log_partition, log_offset, log_seq ORDER BY event_id)
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(event_date)
ORDER BY (event_date, event_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    deduplicate_merge_projection_mode = 'rebuild',
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;
