-- Rows and bytes of product events by where they are: `hot` or `cold`, and the bytes that should have moved already
--   days  UInt32, after which events move; 0 when never
WITH cold AS (
    SELECT arrayJoin(policies.disks)
    FROM system.tables AS tables
    JOIN system.storage_policies AS policies ON policies.policy_name = tables.storage_policy
    WHERE tables.database = currentDatabase() AND tables.name = 'events' AND policies.volume_name != 'default'
)
SELECT
    if(disk_name IN (SELECT * FROM cold), 'cold', 'hot') AS place,
    sum(rows),
    sum(bytes_on_disk),
    sumIf(bytes_on_disk, {days:UInt32} > 0 AND place = 'hot' AND max_date + {days:UInt32} < today())
FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active
GROUP BY place
