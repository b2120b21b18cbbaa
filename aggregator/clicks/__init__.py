"""Closed minutes from Redis into Postgres, and the retention of their rows."""
