"""Cache small tables of Postgres in each worker."""
