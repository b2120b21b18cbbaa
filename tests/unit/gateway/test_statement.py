"""Where an INSERT ends and its rows begin, whatever stands in names, comments and the rows themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.statement import format_of_result, quoted, quoted_name, split_insert


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("INSERT INTO t FORMAT JSONEachRow\n{}", ("INSERT INTO t ", "JSONEachRow", "{}")),
        ("insert into t (a, b)\n format Native\r\n\nrest", ("insert into t (a, b)\n ", "Native", "\nrest")),
        ("INSERT INTO t FORMAT JSONEachRow {}", ("INSERT INTO t ", "JSONEachRow", "{}")),
        ("INSERT INTO t FORMAT CSV", ("INSERT INTO t ", "CSV", "")),
        (
            "/* FORMAT x */ INSERT -- FORMAT y\nINTO t FORMAT CSV\n1",
            ("/* FORMAT x */ INSERT -- FORMAT y\nINTO t ", "CSV", "1"),
        ),
        (
            "INSERT INTO `a FORMAT b` (format, `x)`) FORMAT CSV\n",
            ("INSERT INTO `a FORMAT b` (format, `x)`) ", "CSV", ""),
        ),
        ("INSERT INTO t FORMAT CSV\nFORMAT SELECT VALUES", ("INSERT INTO t ", "CSV", "FORMAT SELECT VALUES")),
    ],
)
def test_an_insert_has_a_text_a_format_and_rows(sql: str, parts: tuple[str, str, str]) -> None:
    found = split_insert(sql.encode())
    assert found
    assert (found.text, found.input_format, bytes(found.rows).decode()) == parts


def test_settings_of_an_insert_stand_apart() -> None:
    found = split_insert(b"INSERT INTO t (settings) SETTINGS a = 'FORMAT x' FORMAT CSV\n1")
    assert found
    assert (found.text, found.settings) == ("INSERT INTO t (settings) ", "SETTINGS a = 'FORMAT x' ")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1 FORMAT CSV",
        "-- INSERT INTO t FORMAT CSV\nSELECT 1",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t FORMAT Values (1)",
        "INSERT INTO t SELECT 1 FORMAT CSV",
        "INSERT INTO t WITH 1 AS x SELECT x",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO t",
        "INSERT INTO t FORMAT",
        "'",
        "/*",
    ],
)
def test_everything_else_goes_to_the_engine_as_it_is(sql: str) -> None:
    assert split_insert(sql.encode()) is None


@given(st.binary(max_size=200))
def test_the_rows_are_never_looked_at(rows: bytes) -> None:
    found = split_insert(b"INSERT INTO t (a) FORMAT RowBinary\n" + rows)
    assert found
    assert bytes(found.rows) == rows


@given(st.binary(max_size=200))
def test_no_text_breaks_the_reader(sql: bytes) -> None:
    split_insert(sql)
    format_of_result(sql, "CSV")


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT 1", "TabSeparated"),
        ("SELECT 1 FORMAT Native", "Native"),
        ("SELECT 1\n format JSON ;", "JSON"),
        ("SELECT 1 FORMAT CSV SETTINGS a = 1", "CSV"),
    ],
)
def test_a_result_has_the_format_that_its_statement_names(sql: str, name: str) -> None:
    assert format_of_result(sql.encode(), "TabSeparated") == name


def test_nothing_escapes_from_quotes() -> None:
    assert quoted("a'b\\") == r"'a\'b\\'"
    assert quoted_name("a`b\\") == r"`a\`b\\`"
