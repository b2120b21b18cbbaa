"""Tables of Postgres that commands write and workers cache: banners, trackers, API keys. `chunks` writes many rows."""
