"""Schemas of Postgres and ClickHouse, brought forward by numbered SQL files."""
