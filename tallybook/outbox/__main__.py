"""`python -m tallybook.outbox | psql`: the SQL that makes the outbox."""

import sys

from tallybook.outbox import schema

if __name__ == "__main__":
    sys.stdout.write(schema())
