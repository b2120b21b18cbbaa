"""Describe the routes whose answers come from ClickHouse.

events, pages, trackers, logs   operations, one module for each kind of question
parameters                      what several of them take
"""

from ingest.statistics.clickhouse_operations import events, logs, pages, trackers

OPERATIONS = [*trackers.OPERATIONS, *pages.OPERATIONS, *events.OPERATIONS, *logs.OPERATIONS]
