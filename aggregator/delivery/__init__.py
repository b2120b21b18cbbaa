"""Move records into ClickHouse, each once: what the sinks and the relay of the outbox share.

`engine` delivers one batch: intend, insert, record. It halves a batch that ClickHouse refuses, down to a dead letter.
`waits` explains an error and says how long to wait before the next try.
A source (`aggregator/sink/partition.py`, `aggregator/outbox/relay.py`) cuts batches and keeps the cursor.
"""
