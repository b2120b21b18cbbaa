-- Records that a sink refused for good, one row each: what is neither in its table nor in flight is here.

CREATE TABLE processing_errors (
    log         text    NOT NULL,
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    -- Where the record lies in the log.
    log_offset  bigint  NOT NULL,
    log_seq     bigint  NOT NULL,
    sink        text    NOT NULL,
    -- malformed: no JSON; columns: other columns or types than the table's; else the code of ClickHouse.
    reason      text    NOT NULL,
    detail      text    NOT NULL,
    -- The record as it was. NULL after it was dropped.
    key         bytea,
    raw         bytea,
    -- Of the transform that refused it.
    version     integer NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- When it was appended to the log again, or given up. The row stays: the books count it as dead.
    replayed_at timestamptz,
    dropped_at  timestamptz,
    PRIMARY KEY (log, topic, partition, log_offset, log_seq, sink)
);

CREATE INDEX processing_errors_waiting ON processing_errors (created_at) WHERE replayed_at IS NULL AND dropped_at IS NULL;

COMMENT ON TABLE processing_errors IS 'Dead letters of the sinks; docs/sink.md';

-- What became of the records before the cursor, and why it does not move, if it does not.
ALTER TABLE sink_cursor
    ADD COLUMN stored        bigint NOT NULL DEFAULT 0,
    ADD COLUMN dead_lettered bigint NOT NULL DEFAULT 0,
    ADD COLUMN trouble       text;
