-- Say why the cursor does not move, for readiness.
-- $1 name   $2 what is wrong
UPDATE tallybook_outbox_cursor SET trouble = $2 WHERE name = $1
