"""`python -m tallybook_sdk.outbox | psql`: the SQL that makes the outbox."""

import sys

from tallybook_sdk.outbox import schema

if __name__ == "__main__":
    sys.stdout.write(schema())
