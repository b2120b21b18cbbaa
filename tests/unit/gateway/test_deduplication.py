"""The repair forgets what has no rows, keeps what has, and touches nothing that somebody has open or that it does not
know."""

import fcntl
from pathlib import Path

import pytest

from gateway.deduplication import RepairError, repair


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with parts up to block 7, one of them not finished."""
    table = tmp_path / "store" / "abc" / "abc-1"
    (table / "deduplication_logs").mkdir(parents=True)
    for part in ("202611_1_5_1", "202612_7_7_0", "202611_6_6_0_9", "tmp_insert_202611_9_9_0", "detached"):
        (table / part).mkdir()
    return table


def write(table: Path, text: str, number: int = 1) -> Path:
    """A log of the table."""
    file = table / "deduplication_logs" / f"deduplication_log_{number}.txt"
    file.write_text(text)
    return file


def test_an_id_is_forgotten_only_when_its_part_is_newer_than_every_other(table: Path, tmp_path: Path) -> None:
    text = "1\t202611_1_1_0\ta\n1\t202611_6_6_0\tb\n1\t202612_7_7_0\tc\n1\t202611_9_9_0\td\n1\t202612_9_9_0\te\n"
    file = write(table, text)
    assert repair(tmp_path) == 2
    assert file.read_text() == text + "2\t202611_9_9_0\td\n2\t202612_9_9_0\te\n"
    assert repair(tmp_path) == 0


def test_logs_are_read_in_the_order_of_their_numbers(table: Path, tmp_path: Path) -> None:
    write(table, "1\t202611_9_9_0\ta\n", 9)
    last = write(table, "2\t202611_9_9_0\ta\n1\t202611_10_10_0\tb\n", 10)
    assert repair(tmp_path) == 1
    assert last.read_text().endswith("2\t202611_10_10_0\tb\n")


@pytest.mark.parametrize("torn", ["1", "1\t202612", "1\t202611_7_7_0\t", "1\t202611_7_7_0\tabc"])
def test_a_last_line_that_is_not_whole_is_cut_off(table: Path, tmp_path: Path, torn: str) -> None:
    file = write(table, "1\t202611_7_7_0\ta\n" + torn)
    assert repair(tmp_path) == 0
    assert file.read_text() == "1\t202611_7_7_0\ta\n"


def test_a_folder_that_an_engine_has_open_is_left_alone(table: Path, tmp_path: Path) -> None:
    file = write(table, "1\t202611_9_9_0\ta\n")
    with (tmp_path / "status").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RepairError, match="is open in another process"):
            repair(tmp_path)
    assert file.read_text() == "1\t202611_9_9_0\ta\n"
    assert repair(tmp_path) == 1


@pytest.mark.parametrize("line", ["3\t202611_9_9_0\ta", "1\tpart\ta", "1\t202611_9_9_0", "format version: 2"])
def test_a_form_that_is_not_known_is_not_touched(table: Path, tmp_path: Path, line: str) -> None:
    write(table, line + "\n")
    with pytest.raises(RepairError, match="a form that this version does not know"):
        repair(tmp_path)


def test_an_empty_folder_needs_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path) == 0
