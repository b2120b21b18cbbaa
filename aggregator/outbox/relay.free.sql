-- Take the cursor from an owner whose process has ended. Its name never comes again; the next claim raises the epoch.
-- $1 name   $2 owner
UPDATE tallybook_outbox_cursor SET owner = NULL, lease_until = NULL WHERE name = $1 AND owner = $2
