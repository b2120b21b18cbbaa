-- How tables and views of a database were made
--   database  String
SELECT name, create_table_query
FROM system.tables
WHERE database = {database:String}
