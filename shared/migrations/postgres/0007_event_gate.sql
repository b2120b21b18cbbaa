-- Who may look for ids in the table of events and add to it: one at a time, over all hosts. Whoever dies in there still has the
-- gate: a sink's is left by whoever has its partition next, an import's after `until`, when no insert of it can come any more.
CREATE TABLE event_gate (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    holder  text,
    until   timestamptz
);
COMMENT ON COLUMN event_gate.holder IS 'sink:<log>/<partition>, or import:<random>; NULL: nobody';
COMMENT ON COLUMN event_gate.until IS 'For imports: when somebody else may take the gate';
INSERT INTO event_gate DEFAULT VALUES;
