"""Write answers as CSV (RFC 4180), for `Accept: text/csv`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from starlette.responses import Response

MEDIA = "text/csv"
_MEDIA_FULL = f"{MEDIA}; charset=utf-8"
_JSON = "application/json"
_LINE = "\r\n"

#: A quality of RFC 9110, section 12.4.2.
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
#: What a spreadsheet takes for the beginning of a formula, also after blanks of any kind and on a later line of a cell.
#: The full-width forms are read as the narrow ones in some locales (OWASP, CSV injection).
_FORMULA = re.compile(r"(?:^|(?<=\n)|(?<=\r)(?!\n))(?=[\t\r]|(?:[^\S\r\n]|[\ufeff\u200b])*[=+\-@＝＋－＠])")
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')
#: File names hold nothing that a client wrote.
_FILENAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def prefers_csv(accept: str) -> bool:
    """Return whether an Accept header prefers CSV to JSON. JSON wins ties, and where neither is wanted."""
    return preferred(accept, (_JSON, MEDIA)) == MEDIA


def preferred(accept: str, offers: Sequence[str]) -> str:
    """Return the offer that an Accept header prefers: the first of equal ones, and the first if none is wanted."""
    ranges = _qualities(accept)

    def quality(media: str) -> float:
        for name in (media, media.partition("/")[0] + "/*", "*/*"):
            if name in ranges:
                return ranges[name]
        return 0.0

    return max(offers, key=quality)


def _qualities(accept: str) -> dict[str, float]:
    """Return the quality of each media range. Leave out what cannot be read."""
    ranges: dict[str, float] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:].strip() for piece in parameters if piece.startswith("q=")]
        if all(_QUALITY.fullmatch(weight) for weight in weights):
            ranges[media] = max(ranges.get(media, 0.0), float(weights[0]) if weights else 1.0)
    return ranges


def cell(text: str) -> str:
    """Return a text as one cell. No spreadsheet takes it for a formula, and its separators are quoted."""
    safe = _FORMULA.sub("'", text)
    return '"' + safe.replace('"', '""') + '"' if _QUOTED.search(safe) else safe


def times(moments: Sequence[datetime]) -> list[str]:
    """Return moments in UTC as cells: RFC 3339, exactly as in JSON."""
    # The encoder writes a month of minutes in 3 ms; isoformat() would take 25.
    return msgspec.json.encode(moments)[2:-2].decode().split('","') if moments else []


def response(
    name: Sequence[str], columns: Mapping[str, Iterable[str]], more: Mapping[str, str] | None = None
) -> Response:
    """Return columns of cells, which are of equal length, as a file `tallybook-<name joined by ->.csv`."""
    rows = map(",".join, zip(*columns.values(), strict=True))
    lines = [",".join(map(cell, columns)), *rows, ""]
    return Response(_LINE.join(lines).encode(), headers={**(more or {}), **headers(name, "csv", _MEDIA_FULL)})


def headers(name: Sequence[str], ending: str, media: str) -> dict[str, str]:
    """Return the headers of a file `tallybook-<name joined by ->.<ending>`."""
    stem = "-".join(("tallybook", *name)).lower()
    if not _FILENAME.fullmatch(stem):
        raise ValueError(f"no file name: {stem!r}")
    return {
        "content-type": media,
        "content-disposition": f'attachment; filename="{stem}.{ending}"',
        "x-content-type-options": "nosniff",
        "vary": "accept",
        "cache-control": "no-store",
    }
