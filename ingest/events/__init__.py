"""Take uploads of product events.

routes        handle an upload
upload        read and check the events of a body
recent_ids    report recent duplicates and conflicts, best effort
upload_keys   keep the first answer under an Idempotency-Key
operations    describe the routes
"""
