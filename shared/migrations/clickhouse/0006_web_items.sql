-- What web pages report, one row each: views, leaves, events and links out. Bears a repetition.
--
-- No address, no user agent, no id that outlives a day. The key is what a repeat is found by: its hour differs from that of
-- the first attempt by one at most, since each attempt computes the time from the age of the item.
CREATE TABLE IF NOT EXISTS web_items (
    date           Date                   COMMENT 'Day of time, UTC',
    day            Date                   COMMENT 'Day of time in the zone of the site',
    time           DateTime64(3, 'UTC'),
    site           LowCardinality(String),
    kind           Enum8('view' = 1, 'leave' = 2, 'event' = 3, 'out' = 4),
    view           UUID,
    n              UInt16                 COMMENT 'Number of the item within its view',
    visitor        UInt64                 COMMENT 'A pseudonym of one day and site; 0 where nobody is known',
    visitor_before UInt64                 COMMENT 'That of the day before, in the first half hour of a day; else 0',
    bot            LowCardinality(String) COMMENT 'Empty for a person, else why it is a machine',
    host           String,
    path           String,
    referrer       String                 COMMENT 'Host without www.; empty for none and for the site itself',
    source         String,
    medium         String,
    campaign       String,
    term           String,
    content        String,
    ad             LowCardinality(String) COMMENT 'Name of the click id in the address; its value is not kept',
    click_id       String                 COMMENT 'The tbid of a redirect link',
    banner         UInt64                 COMMENT 'The banner in click_id',
    name           String                 COMMENT 'Of an event',
    properties     String CODEC(ZSTD(1)),
    target         String                 COMMENT 'Of a link out, without query',
    engaged_ms     UInt32                 COMMENT 'Of a leave: how long the page was visible',
    country        LowCardinality(String),
    device         LowCardinality(String),
    browser        LowCardinality(String),
    os             LowCardinality(String),
    log_partition  UInt16                 COMMENT 'Where in the log the item came from: partition, offset, and place in it',
    log_offset     UInt64,
    log_seq        UInt32
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(date)
ORDER BY (toStartOfHour(time), site, view, n)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    ttl_only_drop_parts = 1;
