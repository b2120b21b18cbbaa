"""Print the OpenAPI document of the whole service: `python -m ingest.document`."""

import sys

import msgspec

from ingest.app import operations_of
from ingest.http.openapi import build
from shared.settings import Settings


def main() -> None:
    """Write the document with default settings to standard output."""
    document = build(operations_of(Settings()), Settings())
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


if __name__ == "__main__":
    main()
