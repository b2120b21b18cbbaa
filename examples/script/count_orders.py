"""Count what a file tells: `python count_orders.py orders.csv` records a click and an event for each line.

    pip install tallybook-sdk
    export TALLYBOOK_URL=http://127.0.0.1:8080

The file has the columns order,at,banner,user,price. Each line names its records, so a second run counts nothing twice:
events for ever, clicks for ten minutes.
"""

import csv
import sys
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from tallybook_sdk import Client


def main(path: str) -> int:
    """Record the file. Return 1 if something of it was not stored."""
    with Client() as tally, open(path, newline="") as file:
        for line in csv.DictReader(file):
            order, at = f"order-{line['order']}", datetime.fromisoformat(line["at"])
            tally.click(int(line["banner"]), id=order, at=at)
            tally.event(
                "purchase",
                line["user"],
                {"order": line["order"], "price": float(line["price"])},
                id=uuid5(NAMESPACE_URL, order),
                at=at,
            )
        tally.flush(timeout_s=30)
        report = tally.report()
        print(f"stored {report.stored}, there before {report.duplicate}, rejected {sum(report.rejected.values())}")
        return 0 if report.stored + report.duplicate == report.recorded else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
