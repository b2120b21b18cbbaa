"""Return numbers: clicks, hits, events, page views, event logs.

clicks, trackers, events, pages, event_logs   handlers, one module for each kind of question
answers             types that the handlers return
operations          describe the routes
ranges, range_ends, days   read ranges of time and cut them into buckets
click_series        turn points of clicks into buckets
clickhouse_reads    bound the statements that run at the same time
exports, csv        write tables as CSV, NDJSON or Parquet
"""
