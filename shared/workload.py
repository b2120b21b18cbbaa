"""What statements of ClickHouse are told apart by, where not all of them can run at once: its setting `workload`.

The gateway keeps a part of the engine free of READS. Whoever runs a server may bound them there (`CREATE WORKLOAD
reads`); where nobody did, the setting means nothing.
"""

#: Of those who only read, and can be asked to come back.
READS = "reads"
