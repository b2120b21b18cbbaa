"""Files of ids and texts for `banners import` and `trackers import`: any usual form, and one error with its line."""

import gzip
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tallybook.cli import main
from tallybook.exits import Exit

ONE = "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e"
IDS = {"banners": "42", "trackers": ONE}
TEXTS = {"banners": "name", "trackers": "value"}
KINDS = pytest.mark.parametrize("kind", ["banners", "trackers"])


@pytest.fixture(autouse=True)
def _database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@KINDS
@pytest.mark.parametrize("heading", ["", "id,{text}\n", "sep=;\n", "\n\n", "{text};ID;more\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_of_any_form_is_imported(tmp_path: Path, kind: str, heading: str, encoding: str) -> None:
    path, head = tmp_path / "a.csv", heading.format(text=TEXTS[kind])
    delimiter = ";" if ";" in head else ","
    fields = ["Весна", IDS[kind], "x"] if "more" in head else [IDS[kind], "Весна"]
    text = head + delimiter.join(fields) + "\n\n" + delimiter + "\n"
    path.write_bytes(gzip.compress(text.encode(encoding)))
    done = run(kind, "import", str(path))
    assert done.exit_code == 0, done.stderr
    assert done.stderr == (f"{path}: not used: more\n" if "more" in head else "")
    assert run(kind, "list").stdout == f"{IDS[kind]}\tВесна\n"
    assert run(kind, "import", "-", stdin=text.encode(encoding)).stdout.endswith(": 0\n")


@KINDS
@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{id},J\xf6rg\n", "It is no UTF-8; .*iconv"),
        (b"{id}," + b"x" * (1 << 21) + b"\n", "field larger than field limit"),
        (b"nothing,x\n", "'nothing' is no "),
        (b"{id},a\0b\n", "NUL|printable"),
        (b"{id}," + b"x" * 5000 + b"\n", "longer than"),
        (b'{id},"a\n{id},b\n', "line end in a field; maybe a quote is open"),
        (b"{id},a,b\n", "it has 3 columns; they are id and "),
    ],
)
def test_a_fault_is_one_error_with_the_line_and_changes_nothing(kind: str, line: bytes, what: str) -> None:
    good = f"{IDS[kind]},fine\n".encode()
    done = run(kind, "import", "-", stdin=good + b"\n" + line.replace(b"{id}", IDS[kind].encode()))
    assert done.exit_code == Exit.USAGE
    assert re.search(rf"-, line 3: .*({what})", done.stderr), done.stderr
    assert run(kind, "list").stdout == ""


@KINDS
def test_a_list_of_another_kind_is_one_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"PK\x03\x04....")
    assert "this is a zip file or a spreadsheet" in run(kind, "import", str(path)).stderr
    assert run(kind, "import", str(tmp_path / "none")).exit_code == Exit.USAGE
    assert "line 1: 'a' is no " in run(kind, "import", "-", stdin=b"a,b\nc,d\n").stderr
    assert f"lacks {TEXTS[kind]}; it has id, a, b" in run(kind, "import", "-", stdin=b"id,a,b\n").stderr


@KINDS
def test_a_quote_that_is_open_in_the_first_row_hides_no_line(kind: str) -> None:
    for first in (f'{IDS[kind]},"a', f'id,"{TEXTS[kind]}'):
        done = run(kind, "import", "-", stdin=f"{first}\n{IDS[kind]},b\n".encode())
        assert done.exit_code == Exit.USAGE
        assert "-, line 1: the row that begins here has a line end" in done.stderr
    assert run(kind, "list").stdout == ""
