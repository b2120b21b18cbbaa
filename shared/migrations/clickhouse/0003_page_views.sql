-- Page views: one row each, and what they add up to by minute and by hour. Every statement bears a repetition.
--
-- Every table of the chain has a window of block ids: a view gets the block again that the table before it has refused as a
-- repeat (docs/clickhouse.md). Everything that is added up is kept as a state until it is read: what was finished once can
-- only be added, and neither users nor averages may be (docs/pages.md).
CREATE TABLE IF NOT EXISTS page_views_raw (
    event_date      Date DEFAULT toDate(event_time, 'UTC'),
    event_time      DateTime64(3, 'UTC'),
    page_id         String,
    user_id         String,
    duration_ms     UInt32,
    user_agent      String                 COMMENT 'Empty where the event had none',
    ip_address      IPv6                   COMMENT 'IPv4 as ::ffff:203.0.113.9; :: where the event had none',
    region          LowCardinality(String),
    is_bounce       Bool,
    processed_time  DateTime64(3, 'UTC')   COMMENT 'When the record came into the log: the same on each replay',
    log_partition   UInt16                 COMMENT 'Where in the log the event came from: partition, offset, and place in it',
    log_offset      UInt64,
    log_seq         UInt32,
    kafka_partition UInt16 ALIAS log_partition,
    kafka_offset    UInt64 ALIAS log_offset,
    date            Date ALIAS event_date  COMMENT 'The name under which every raw table has its day'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_date)
-- By time first: what is asked for, and what a new event is compared with, lies in few hours.
ORDER BY (toStartOfHour(event_time), page_id, event_time)
TTL toDateTime(event_time, 'UTC') + INTERVAL 30 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    merge_with_ttl_timeout = 86400;

CREATE TABLE IF NOT EXISTS page_views_agg_minute (
    minute   DateTime('UTC'),
    page_id  String,
    views    SimpleAggregateFunction(sum, UInt64),
    bounces  SimpleAggregateFunction(sum, UInt64),
    duration SimpleAggregateFunction(sum, UInt64) COMMENT 'Milliseconds',
    users    AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, page_id)
TTL minute + INTERVAL 7 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    merge_with_ttl_timeout = 86400;

CREATE TABLE IF NOT EXISTS page_views_agg_hour (
    hour     DateTime('UTC'),
    page_id  String,
    views    SimpleAggregateFunction(sum, UInt64),
    bounces  SimpleAggregateFunction(sum, UInt64),
    duration SimpleAggregateFunction(sum, UInt64) COMMENT 'Milliseconds',
    users    AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, page_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

-- A view sees the block that was inserted, not the table behind it: minutes that expire take nothing from their hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS page_views_agg_minute_mv TO page_views_agg_minute AS
SELECT
    toDateTime(toStartOfMinute(event_time), 'UTC') AS minute,
    page_id,
    sum(toUInt64(1)) AS views,
    sum(toUInt64(is_bounce)) AS bounces,
    sum(toUInt64(duration_ms)) AS duration,
    uniqState(user_id) AS users
FROM page_views_raw
GROUP BY minute, page_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS page_views_agg_hour_mv TO page_views_agg_hour AS
SELECT
    toDateTime(toStartOfHour(minute), 'UTC') AS hour,
    page_id,
    sum(views) AS views,
    sum(bounces) AS bounces,
    sum(duration) AS duration,
    uniqMergeState(users) AS users
FROM page_views_agg_minute
GROUP BY hour, page_id;
