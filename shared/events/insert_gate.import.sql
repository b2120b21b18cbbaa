-- Take the gate for an import, or keep it; no row while somebody else has it. Answers the seconds since the epoch until which its
-- inserts may begin.
-- $1 holder   $2 seconds in which an insert may begin   $3 seconds that it may take after that
UPDATE event_gate SET holder = $1, until = now() + ($2::double precision + $3::double precision) * interval '1 second'
WHERE holder IS NULL OR holder = $1 OR until < now()
RETURNING floor(extract(epoch FROM now() + $2::double precision * interval '1 second'))::bigint
