"""Connections to Postgres, Redis and ClickHouse: their errors, their migrations, and what each keeps."""
