"""Return numbers: clicks, hits, events, page views, event logs.

banners/            clicks and impressions of banners
web/                views, visitors and visits of a site
trackers, events, pages, event_logs   handlers, one module for each kind of question
answers             types that the handlers return
operations          describe the routes
ranges, range_ends, days   read ranges of time and cut them into buckets
clickhouse_reads    bound the statements that run at the same time
exports, csv        write tables as CSV, NDJSON or Parquet
"""
