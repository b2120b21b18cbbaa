"""Relay an application's outbox from Postgres into ClickHouse, each committed event once."""
