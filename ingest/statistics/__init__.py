"""Routes that answer with numbers: clicks, hits, events, page views, event logs."""
