-- Impressions per minute and banner, and clicks of machines: every kind of a cell above 0 (shared/counting/cells.py). Clicks of people
-- stay in click_stats. The ledger fences both tables, because an incarnation has one kind.

CREATE TABLE banner_stats (
    "timestamp" timestamptz NOT NULL,
    banner_id   bigint      NOT NULL CHECK (banner_id > 0),
    kind        smallint    NOT NULL CHECK (kind > 0),
    count       bigint      NOT NULL CHECK (count > 0),
    PRIMARY KEY ("timestamp", banner_id, kind)
) PARTITION BY RANGE ("timestamp");

COMMENT ON TABLE banner_stats IS 'What else than clicks of people happened to one banner in one minute (UTC), by kind; one partition per month';

-- As click_stats_banner: one walk for one banner, and an index that adding to a minute does not touch.
CREATE INDEX banner_stats_banner ON banner_stats (banner_id, "timestamp");

-- As click_stats_make_partition, under its lock: two locks could be taken in two orders.
CREATE FUNCTION banner_stats_make_partition(instant timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', instant, 'UTC');
    next_month timestamptz := (first_day AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    partition text := 'banner_stats_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tallybook.click_stats_make_partition'));
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF banner_stats FOR VALUES FROM (%L) TO (%L)', partition,
        to_char(first_day AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00',
        to_char(next_month AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00'
    );
    RETURN true;
END
$$;
