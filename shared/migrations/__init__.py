"""Migrate the schemas of Postgres and ClickHouse by numbered SQL files."""
