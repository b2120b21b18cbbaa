"""Send data of an application to tallybook.

outbox    publish events in the application's own Postgres transaction

The package needs msgspec and nothing of the service.
"""
