"""Move the record log into ClickHouse, each record once."""
