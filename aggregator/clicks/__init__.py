"""Flush closed minutes from Redis into Postgres, and keep their tables in shape."""
