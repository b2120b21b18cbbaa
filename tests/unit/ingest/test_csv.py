"""CSV is given to those who want it, reads back as it was, and starts no formula."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.statistics import csv as tabular

#: Texts and their cells. The dashboard writes the same (`web/dashboard/unit/export.test.ts`).
CELLS = json.loads(Path(__file__).with_name("csv_cells.json").read_text())


@pytest.mark.parametrize(
    "accept",
    [
        "text/csv",
        "TEXT/CSV",
        "text/*",
        "text/csv; charset=utf-8",
        "text/csv;header=present;q=0.5",
        "application/json;q=0.5, text/csv",
        "application/json;q=0.5, text/csv;q=0.501",
        "text/csv, */*;q=0.1",
        "text/html, text/csv;q=0.9, */*;q=0.8",
        "application/json;q=0, */*",
        "text/csv;q=2, text/csv",
    ],
)
def test_csv_is_answered_where_it_is_preferred(accept: str) -> None:
    assert tabular.prefers_csv(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/*, text/csv",
        "text/csv, application/json",
        "text/csv;q=0",
        "text/*, text/csv;q=0",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "image/png",
        "text/csvx",
        "text/csv;q=high",
        "text/csv;q=-1",
        "text/csv;q=1.1",
        "text/csv;q=0.1234",
        "text/csv;q=",
        ",,;;,q=1",
        "text/csv;q=１",
    ],
)
def test_json_is_answered_otherwise(accept: str) -> None:
    assert not tabular.prefers_csv(accept)


@given(st.text())
def test_no_accept_header_breaks_it(accept: str) -> None:
    tabular.prefers_csv(accept)


@pytest.mark.parametrize(("text", "expected"), CELLS)
def test_o1_no_cell_begins_a_formula(text: str, expected: str) -> None:
    cell = tabular.cell(text)
    assert cell == expected
    assert cell.lstrip('"')[0] == "'" or "\n'" in cell


@pytest.mark.parametrize("text", ["", "a", "a=b", "1-2", "a@b", "Käse 🧀", "Europe/Berlin", "12"])
def test_o1_harmless_cells_stay_as_they_are(text: str) -> None:
    assert tabular.cell(text) == text


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2, max_size=5))
def test_o1_cells_read_back_as_written_but_for_the_apostrophes(texts: list[str]) -> None:
    line = ",".join(map(tabular.cell, texts)) + "\r\n"
    [row] = csv.reader(io.StringIO(line, newline=""))
    for cell, text in zip(row, texts, strict=True):
        assert cell.replace("'", "") == text.replace("'", "")
        assert not any(re.match(r"[\s\u00a0]*[=+\-@]", part) for part in re.split(r"[\r\n]", cell))


def test_o1_a_table_is_an_attachment_that_nobody_sniffs() -> None:
    answer = tabular.response(("banner", "42"), {"bannerId": ["42", "42"], "count": ["1", "2"]}, {"x-more": "1"})
    assert bytes(answer.body) == b"bannerId,count\r\n42,1\r\n42,2\r\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="tallybook-banner-42.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"] == "accept"
    assert answer.headers["x-more"] == "1"


def test_a_table_without_rows_has_its_header() -> None:
    assert bytes(tabular.response(("top",), {"bannerId": [], "count": []}).body) == b"bannerId,count\r\n"


@pytest.mark.parametrize("part", ["a/b", '"', "a\r\nb", "..", "", "ä", "a b"])
def test_o1_file_names_are_of_a_closed_pattern(part: str) -> None:
    with pytest.raises(ValueError, match="no file name"):
        tabular.response((part,), {"a": []})


def test_times_are_in_utc_with_z() -> None:
    moments = [datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 1, 5, tzinfo=UTC)]
    assert tabular.times(moments) == ["2026-03-01T12:00:00Z", "2026-03-01T12:00:01.000005Z"]
    assert tabular.times([]) == []
