-- Mutations of a table that are not done: how many, and what the last failure of one was.
--   table  String
SELECT count(), max(latest_fail_reason)
FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done
