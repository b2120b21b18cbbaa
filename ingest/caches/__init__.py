"""Small tables of Postgres, cached in each worker."""
