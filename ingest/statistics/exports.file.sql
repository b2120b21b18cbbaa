-- Rows that are known already, to be written in a format that ClickHouse knows and Python does not.
--   structure  String, columns with their types, made of constants
--   rows       String, one JSON object per line
SELECT * FROM format(JSONEachRow, {structure:String}, {rows:String})
