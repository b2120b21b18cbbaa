-- Tables that keep rows: those of the database, and those of other databases into which its views write
--   database  String
--   targets   Array(Tuple(String, String)), (database, name) of each target of a view
SELECT database, name, engine, create_table_query
FROM system.tables
WHERE engine LIKE '%MergeTree'
  AND (database = {database:String} OR (database, name) IN {targets:Array(Tuple(String, String))})
ORDER BY database, name
