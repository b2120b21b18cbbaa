-- Bounds of partitions are texts in UTC: a timestamptz printed under DateStyle 'SQL, DMY' and a time zone whose abbreviation means
-- several is read back as another moment.

CREATE OR REPLACE FUNCTION click_stats_make_partition(instant timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
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
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF click_stats FOR VALUES FROM (%L) TO (%L)', partition,
        to_char(first_day AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00',
        to_char(next_month AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00'
    );
    RETURN true;
END
$$;

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
