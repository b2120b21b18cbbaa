-- The next batch in the order of (xid, id), as lines of JSONCompactEachRow: all rows of transactions that are over, for below the oldest
-- running one nothing can come any more. The first row always, further ones as long as they fit. A time that ClickHouse would move into
-- its range without a word is written as what it refuses.
-- $1 $2 behind this (xid, id)   $3 up to this xid, and $4 id   $5 rows   $6 bytes   $7 source
SELECT count(*)::integer AS rows, max(ARRAY[xid::text::bigint, id]) AS last,
    coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision AS age_s,
    string_agg(line, E'\n' ORDER BY xid, id) AS lines
FROM (
    SELECT xid, id, created_at, line, sum(octet_length(line)) OVER (ORDER BY xid, id ROWS UNBOUNDED PRECEDING) - octet_length(line) AS before
    FROM (
        SELECT xid, id, created_at,
            concat(
                '["', event_id, '",', to_json(event_type), ',',
                CASE WHEN event_date_time >= '1900-01-01Z' AND event_date_time < '2299-12-31Z'
                THEN to_json(event_date_time AT TIME ZONE 'UTC') ELSE '"no DateTime64"' END, ',',
                to_json(environment), ',', event_context, ',', metadata_version, ',', context,
                ',"', $7::uuid, '",', xid, ',', id, ']'
            ) AS line
        FROM tallybook_outbox
        WHERE (xid, id) > ($1::text::xid8, $2) AND (xid, id) <= ($3::text::xid8, $4)
            AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, id
        LIMIT $5
    ) AS waiting
) AS measured
WHERE before < $6
