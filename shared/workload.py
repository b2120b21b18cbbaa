"""Name the workloads of ClickHouse statements, its setting `workload`: not all of them can run at once.

The gateway keeps a part of the engine free of READS. Whoever runs a server may bound them there (`CREATE WORKLOAD
reads`); where nobody did, the setting means nothing.
"""

#: Statements that only read, and whose clients can be asked to come back.
READS = "reads"
