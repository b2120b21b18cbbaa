"""From an application's outbox in Postgres into ClickHouse: each committed event once."""
