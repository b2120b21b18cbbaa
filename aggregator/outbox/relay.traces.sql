-- Headers of some sampled traces that the events of a range were published in.
-- $1 $2 behind this (xid, id)   $3 $4 up to this one   $5 most
SELECT DISTINCT ON (context ->> 'sentry-trace') context ->> 'sentry-trace' AS trace, context ->> 'baggage' AS baggage
FROM tallybook_outbox
WHERE (xid, id) > ($1::text::xid8, $2) AND (xid, id) <= ($3::text::xid8, $4) AND context ->> 'sentry-trace' LIKE '%-1'
LIMIT $5
