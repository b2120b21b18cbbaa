-- Give the cursor back at once. What is pending stays for whoever takes it next.
-- $1 name   $2 epoch
UPDATE tallybook_outbox_cursor SET owner = NULL, lease_until = NULL WHERE name = $1 AND epoch = $2
