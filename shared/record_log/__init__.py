"""The record log: producers append records, sinks read them, cursors in Postgres say how far each sink is."""
