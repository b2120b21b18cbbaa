"""What applications install to talk to tallybook.

outbox    publish events inside the application's own Postgres transaction

It needs msgspec and nothing of the service.
"""
