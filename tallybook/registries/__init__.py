"""Tables of Postgres that commands write and workers cache: banners, trackers, links, API keys.

`chunks` writes many rows.
"""
