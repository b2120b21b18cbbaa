-- How far each sink is in each partition of the record log, and who may move it.

CREATE TABLE sink_cursor (
    log             text    NOT NULL,
    topic           text    NOT NULL,
    partition       integer NOT NULL CHECK (partition >= 0),
    sink            text    NOT NULL,
    -- The first position that is not in the sink yet.
    next_offset     bigint  NOT NULL DEFAULT 0,
    next_seq        bigint  NOT NULL DEFAULT 0,
    -- What may be on its way into the sink: [next, pending), its rows and the version of the transform. All or none.
    pending_offset  bigint,
    pending_seq     bigint,
    pending_rows    integer,
    pending_version integer,
    -- Whoever holds the latest epoch may write. The lease only says when another one may take the next epoch.
    owner           text,
    epoch           bigint  NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    PRIMARY KEY (log, topic, partition, sink),
    CHECK (num_nulls(pending_offset, pending_seq, pending_rows, pending_version) IN (0, 4)),
    CHECK (pending_offset IS NULL OR (pending_offset, pending_seq) > (next_offset, next_seq)),
    CHECK ((owner IS NULL) = (lease_until IS NULL))
);

COMMENT ON TABLE sink_cursor IS 'Position of each sink in each partition of the record log; docs/log.md';

-- The last record of each producer that the sink let through before its position, written together with that position.
CREATE TABLE sink_mark (
    log       text    NOT NULL,
    topic     text    NOT NULL,
    partition integer NOT NULL,
    sink      text    NOT NULL,
    producer  text    NOT NULL,
    seq       bigint  NOT NULL,
    place     integer NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (log, topic, partition, sink, producer),
    FOREIGN KEY (log, topic, partition, sink) REFERENCES sink_cursor ON DELETE CASCADE
);

CREATE INDEX sink_mark_marked_at ON sink_mark (marked_at);

-- Processes that read a topic for a sink, so that each can tell how many partitions are its share.
CREATE TABLE sink_member (
    log         text NOT NULL,
    topic       text NOT NULL,
    sink        text NOT NULL,
    owner       text NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (log, topic, sink, owner)
);
