-- Clicks per minute and banner, and the ledger that makes each of them count once.

CREATE TABLE click_stats (
    "timestamp" timestamptz NOT NULL,
    banner_id   bigint      NOT NULL CHECK (banner_id > 0),
    count       bigint      NOT NULL CHECK (count > 0),
    PRIMARY KEY ("timestamp", banner_id)
) PARTITION BY RANGE ("timestamp");

COMMENT ON TABLE click_stats IS 'Clicks of one banner in one minute (UTC); one partition per month';

-- One banner over a long range is one walk through this index, however many other banners there are. It leaves `count` out,
-- so that adding to a minute touches no index (a heap-only tuple).
CREATE INDEX click_stats_banner ON click_stats (banner_id, "timestamp");

-- One row per incarnation that has been added to click_stats, written in the same transaction: the second time adds nothing.
CREATE TABLE click_ledger (
    incarnation text        PRIMARY KEY,
    rows        integer     NOT NULL,
    clicks      bigint      NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX click_ledger_applied_at ON click_ledger USING brin (applied_at);

-- Sums of what was removed on purpose, so that ledger and statistics can be compared for ever:
--   ledger_pruned   clicks of ledger rows that grew too old
--   stats_dropped   clicks of partitions that were dropped by the retention
CREATE TABLE click_carry (
    name   text   PRIMARY KEY,
    clicks bigint NOT NULL
);

INSERT INTO click_carry VALUES ('ledger_pruned', 0), ('stats_dropped', 0);

-- Makes the partition of the month (UTC) that holds an instant; true if it was not there. Safe to race: the lock makes one wait.
CREATE FUNCTION click_stats_make_partition(instant timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', instant, 'UTC');
    next_month timestamptz := (first_day AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    partition text := 'click_stats_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tallybook.click_stats_make_partition'));
    -- IF NOT EXISTS: whoever waited for the lock may still have the former answer of to_regclass in its cache.
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF click_stats FOR VALUES FROM (%L) TO (%L)', partition, first_day, next_month
    );
    RETURN true;
END
$$;
