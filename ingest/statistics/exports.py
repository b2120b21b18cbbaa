"""Read tables of ClickHouse, and write small ones as JSON, CSV, NDJSON or Parquet, by `Accept`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from starlette.responses import Response

from ingest.http import json_answers
from ingest.state import Request
from ingest.statistics import csv
from shared.errors import ClickHouseUnavailable
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse
from shared.stores.failures import noted
from shared.stores.postgres import statement

NDJSON, PARQUET = "application/x-ndjson", "application/vnd.apache.parquet"
#: What a table can be asked for as. The first of equally wanted ones is taken, and it is taken where none is wanted.
MEDIA = (json_answers.MEDIA, csv.MEDIA, NDJSON, PARQUET)
#: Those that are not JSON.
FILES = MEDIA[1:]
#: Of what a client may ask for in several media types.
_HEADERS = {"cache-control": "no-store", "vary": "accept"}

#: A moment in UTC, as a column of a file.
MOMENT = "DateTime('UTC')"

_FILE = statement("ingest/statistics/exports.file.sql")
_ENDINGS = {NDJSON: "ndjson", PARQUET: "parquet"}

log = structlog.get_logger()


class Table(NamedTuple):
    """Rows under the names of their columns, each with its type in ClickHouse."""

    name: tuple[str, ...]
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Any]]


async def rows(request: Request, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """Return the rows of a SELECT. Raise ClickHouseUnavailable, and Busy while too many others run."""
    try:
        return await _clickhouse(request).query(sql, parameters)
    except CLICKHOUSE_ERRORS as error:
        raise _unavailable(error) from error


def as_json(answer: msgspec.Struct) -> Response:
    """Return the answer as JSON, where other media types could be asked for."""
    return json_answers.as_json(answer, _HEADERS)


def wanted(request: Request) -> str:
    """Return the media type that the request prefers."""
    return csv.preferred(",".join(request.headers.getlist("accept")), MEDIA)


async def response(request: Request, media: str, table: Table) -> Response:
    """Return the table as a file of a media type of FILES. Raise ClickHouseUnavailable: it writes Parquet."""
    if media == csv.MEDIA:
        columns = {
            name: csv.times([row[at] for row in table.rows])
            if kind == MOMENT
            else [_cell(row[at]) for row in table.rows]
            for at, (name, kind) in enumerate(table.columns.items())
        }
        return csv.response(table.name, columns)
    objects = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    content = msgspec.json.Encoder().encode_lines(objects)
    if media == PARQUET:
        structure = ", ".join(f"`{name}` {kind}" for name, kind in table.columns.items())
        parameters = {"structure": structure, "rows": content.decode()}
        try:
            content = await _clickhouse(request).file(_FILE, parameters, "Parquet")
        except CLICKHOUSE_ERRORS as error:
            raise _unavailable(error) from error
    return Response(content, headers=csv.headers(table.name, _ENDINGS[media], media))


def _cell(value: Any) -> str:
    return "" if value is None else csv.cell(str(value))


def _clickhouse(request: Request) -> ClickHouse:
    clickhouse = request.state.clickhouse
    if clickhouse is None:
        raise ClickHouseUnavailable("This service has no ClickHouse: set TALLYBOOK_CLICKHOUSE_URL.")
    return clickhouse


def _unavailable(error: BaseException) -> ClickHouseUnavailable:
    log.warning("clickhouse_read_failed", error=type(error).__name__, code=noted(error).code)
    return ClickHouseUnavailable()
