-- The outbox: events wait here, in the application's own database, until a relay has them in ClickHouse (docs/outbox.md).
-- Every statement bears a repetition, so an application and tallybook may both apply it to one database. Postgres >= 14.

-- Ids are taken when a row is written and seen when its transaction commits, so ids alone are no order that could be read along.
-- (xid, id) is: below the oldest running transaction nothing can come any more.
-- A connection takes 32 at a time: ids need an order within a transaction only.
CREATE SEQUENCE IF NOT EXISTS tallybook_outbox_id CACHE 32;

-- No checks and no domains: every one of them would be read, prepared and run by every single publication. The library writes nothing
-- that cannot be relayed, and what somebody writes by hand and ClickHouse refuses becomes a dead letter.
CREATE TABLE IF NOT EXISTS tallybook_outbox (
    xid              xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id               bigint      NOT NULL DEFAULT nextval('tallybook_outbox_id'),
    event_id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    event_type       text        NOT NULL,
    event_date_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
    environment      text        NOT NULL,
    -- json, not jsonb: what was written is what arrives, and writing it costs less. Not text: what is no JSON could break the line of
    -- another event.
    event_context    json        NOT NULL DEFAULT '{}',
    metadata_version bigint      NOT NULL DEFAULT 1,
    -- Trace and log context of the writer.
    context          json        NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (created_at);

COMMENT ON TABLE tallybook_outbox IS 'Events on their way to ClickHouse; one partition per day (UTC), dropped when relayed';

CREATE INDEX IF NOT EXISTS tallybook_outbox_order ON tallybook_outbox (xid, id);

-- For days that nobody made a partition for: an event there is an alarm, but no failed transaction of the application.
CREATE TABLE IF NOT EXISTS tallybook_outbox_default PARTITION OF tallybook_outbox DEFAULT;

-- Makes the partition of a day (UTC); true if it was not there. It is attached, because making it in place would lock out every
-- publisher. Safe to race: the lock makes one wait. Bounds are texts in UTC, which mean the same under any DateStyle and TimeZone.
CREATE OR REPLACE FUNCTION tallybook_outbox_make_partition(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := 'tallybook_outbox_' || to_char(day, 'YYYY_MM_DD');
BEGIN
    IF to_regclass(child) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tallybook_outbox_make_partition'));
    IF EXISTS (SELECT FROM pg_class WHERE relname = child AND pg_table_is_visible(oid)) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE tallybook_outbox INCLUDING ALL)', child);
    EXECUTE format(
        'ALTER TABLE tallybook_outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        child, to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00'
    );
    RETURN true;
END
$$;

-- How far the relay is, what may be on its way, and who may move it.
CREATE TABLE IF NOT EXISTS tallybook_outbox_cursor (
    name          text   PRIMARY KEY,
    -- Stands for this outbox in the tokens of inserts: two databases count their transactions alike.
    source        uuid   NOT NULL DEFAULT gen_random_uuid(),
    -- Everything up to here is in ClickHouse or a dead letter.
    xid           xid8   NOT NULL DEFAULT '0',
    id            bigint NOT NULL DEFAULT 0,
    -- What may be on its way: everything behind the cursor up to here, its rows, and the token of its insert. All or none.
    pending_xid   xid8,
    pending_id    bigint,
    pending_rows  integer,
    pending_token text,
    -- Whoever holds the latest epoch may write. The lease only says when another one may take the next epoch.
    owner         text,
    epoch         bigint NOT NULL DEFAULT 0,
    lease_until   timestamptz,
    -- Rows of the next batch at most, while a bad one is looked for; the code of the last bad ones, and how many in a row.
    most          integer,
    refused_code  text,
    refused_times integer NOT NULL DEFAULT 0,
    stored        bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    -- What somebody has to mend before anything moves.
    trouble       text,
    CHECK (num_nulls(pending_xid, pending_id, pending_rows, pending_token) IN (0, 4)),
    CHECK ((owner IS NULL) = (lease_until IS NULL))
);

INSERT INTO tallybook_outbox_cursor (name) VALUES ('event_log') ON CONFLICT DO NOTHING;

-- Events that ClickHouse refused for good, one row each.
CREATE TABLE IF NOT EXISTS tallybook_outbox_dead (
    name             text        NOT NULL,
    source           uuid        NOT NULL,
    xid              xid8        NOT NULL,
    id               bigint      NOT NULL,
    event_id         uuid        NOT NULL,
    event_type       text        NOT NULL,
    event_date_time  timestamptz NOT NULL,
    environment      text        NOT NULL,
    event_context    json        NOT NULL,
    metadata_version bigint      NOT NULL,
    context          json        NOT NULL,
    -- The code of ClickHouse, and what it said.
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    buried_at        timestamptz NOT NULL DEFAULT now(),
    -- When it was published again.
    replayed_at      timestamptz,
    PRIMARY KEY (name, source, xid, id)
);

-- Days are made ahead from the beginning; afterwards the relay's upkeep does it.
SELECT tallybook_outbox_make_partition((now() AT TIME ZONE 'UTC')::date + day) FROM generate_series(0, 7) AS day;
