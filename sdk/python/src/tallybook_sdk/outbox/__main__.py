"""Print the SQL that makes the outbox: `python -m tallybook_sdk.outbox | psql`."""

import sys

from tallybook_sdk.outbox import schema

if __name__ == "__main__":
    sys.stdout.write(schema())
