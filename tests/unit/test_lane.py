"""The lane keeps every click it said yes to, whatever happens to its worker."""

import multiprocessing
import os
import shutil
import signal
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared.counting.lane as lane_module
from shared.counting.lane import BANNER_MAX, Lane, banner_id, paths, views

SIZE = {"minute_s": 60, "pages": 3, "entries": 2}


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    made = Lane.acquire(tmp_path, **SIZE)
    yield made
    made.close()


def drain(lane: Lane) -> Counter[int]:
    """What the lane holds, taken out the way the drain does."""
    taken: Counter[int] = Counter()
    while lane.tail < lane.head or lane.seal():
        page = lane.page(lane.tail)
        for banner, count in zip(page.banners, page.counts, strict=True):
            taken[banner] += count
        lane.free(lane.tail)
    return taken


@pytest.mark.parametrize("text", ["1", "42", str(BANNER_MAX)])
def test_canonical_ids_are_banners(text: str) -> None:
    assert banner_id(text) == int(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        "1e3",
        "1.0",
        " 1",
        "1 ",
        "1_0",
        "１２３",
        "²",
        str(BANNER_MAX + 1),
        "9" * 20,
        "a",
        "\0",
    ],
)
def test_i3_anything_but_a_canonical_decimal_is_no_banner(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the client's
        banner_id(text)


def test_clicks_add_up_over_pages(lane: Lane) -> None:
    for banner in ("1", "2", "1", "3", "1"):
        assert lane.add(banner)
    assert lane.accepted() == 5
    assert drain(lane) == {1: 3, 2: 1, 3: 1}
    assert (lane.drained(), lane.pending()) == (5, 0)


def test_a_full_ring_says_no_and_keeps_what_it_has(lane: Lane) -> None:
    accepted = [banner for banner in range(1, 20) if lane.add(str(banner))]
    assert len(accepted) == SIZE["entries"] * SIZE["pages"]
    assert lane.add(str(accepted[-1]))  # it has a slot in the last page
    assert sum(drain(lane).values()) == lane.accepted()


def test_many_clicks_are_taken_all_or_not_at_all(lane: Lane) -> None:
    assert lane.add("1")
    assert not lane.add_all({(7, banner): 2 for banner in range(1, 7)})
    assert lane.accepted() == 1
    assert lane.add_all({(7, banner): 2 for banner in range(1, 6)})
    assert not lane.add_all({(8, 1): 1})
    assert drain(lane) == {1: 3, 2: 2, 3: 2, 4: 2, 5: 2}


def test_a_retired_lane_takes_nothing_more(lane: Lane) -> None:
    assert lane.add("1")
    lane.retire()
    with pytest.raises(ValueError, match="no more clicks"):
        lane.add("1")
    assert not lane.add_all({(7, 1): 1})
    assert lane.accepted() == 1


def test_the_gate_is_asked_before_a_banner_gets_a_slot(lane: Lane) -> None:
    def refuse(minute: int, banner: int) -> None:
        if banner == 666:
            raise PermissionError

    lane.gate = refuse
    assert lane.add("1")
    with pytest.raises(PermissionError):
        lane.add("666")
    assert lane.accepted() == 1


def test_an_adopted_lane_goes_on_where_its_owner_died(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_click_and_die, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    heir = Lane.acquire(tmp_path, **SIZE)
    assert heir.path.name == "0.lane"
    assert heir.add("9")
    assert drain(heir) == {5: 2, 6: 1, 9: 1}
    heir.close()


def _click_and_die(folder: Path) -> None:
    lane = Lane.acquire(folder, **SIZE)
    for banner in ("5", "6", "5"):
        lane.add(banner)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_held_lane_is_not_adopted(lane: Lane, tmp_path: Path) -> None:
    assert Lane.adopt(lane.path, minute_s=60) is None
    other = Lane.acquire(tmp_path, **SIZE)
    assert other.path != lane.path
    other.close()


def test_a_copy_is_put_aside(lane: Lane, tmp_path: Path) -> None:
    shutil.copy(lane.path, copy := tmp_path / "7.lane")
    assert Lane.adopt(copy, minute_s=60) is None
    assert not copy.exists()
    assert len(list(tmp_path.glob("7.lane.bad-*"))) == 1
    assert lane.path.exists()


def test_a_lane_of_a_host_that_went_down_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_click_and_die, args=(tmp_path,))
    child.start()
    child.join()
    monkeypatch.setattr(lane_module, "boot_id", lambda: (1, 2))
    assert Lane.adopt(tmp_path / "0.lane", minute_s=60) is None
    assert paths(tmp_path) == []
    assert len(list(tmp_path.glob("0.lane.bad-*"))) == 1


def test_a_cleanly_closed_lane_survives_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lane.acquire(tmp_path, **SIZE)
    first.add("4")
    first.close()
    monkeypatch.setattr(lane_module, "boot_id", lambda: (1, 2))
    heir = Lane.acquire(tmp_path, **SIZE)
    assert drain(heir) == {4: 1}
    heir.close()


def test_views_show_what_the_owner_counts(lane: Lane, tmp_path: Path) -> None:
    lane.add("3")
    (tmp_path / "8.lane").write_bytes(b"no lane at all")
    (view,) = views(tmp_path).values()
    lane.add("3")
    assert (view.accepted(), view.drained(), view.pending()) == (2, 0, 2)
    assert [(seq, page.banners, page.counts) for seq, page in view.waiting()] == [(1, [3], [2])]
    view.close()


def test_a_deleted_file_is_noticed(lane: Lane) -> None:
    assert lane.is_linked()
    lane.path.unlink()
    assert not lane.is_linked()


# -- kill -9 before every bytecode -----------------------------------------------------------------------------------
#
# A child runs a fixed script of clicks and drains with a tracer that kills it before its k-th bytecode inside
# lane.py, for
# every k. It notes each click before (T) and after (A) it is made, and each page that it would have sent. The heir of
# its
# lane must then hold, together with the pages sent, every click noted A and none that was not noted T; a page that is
# sent
# again must be the same to the byte. The mutants break the order of two stores, and must be caught.

MUTANTS = {
    "published before it is written": (
        "        words[slot] = minute\n        words[slot + 1] = banner\n        words[slot + 2] = n\n"
        "        self._used += 1\n        words[self._page_at + _USED] = self._used\n",
        "        self._used += 1\n        words[self._page_at + _USED] = self._used\n"
        "        words[slot] = minute\n        words[slot + 1] = banner\n        words[slot + 2] = n\n",
    ),
    "committed before the page is cleared": (
        "        words[at + _USED] = 0\n        words[at + _BASE] = self.total(seq - 1)\n"
        "        words[at + _SEQ] = seq\n        words[_HEAD] = seq\n",
        "        words[_HEAD] = seq\n        words[at + _USED] = 0\n"
        "        words[at + _BASE] = self.total(seq - 1)\n        words[at + _SEQ] = seq\n",
    ),
}


def mutated(mutant: str) -> types.ModuleType:
    source = Path(lane_module.__file__).read_text()
    if mutant:
        before, after = MUTANTS[mutant]
        assert source.count(before) == 1, "the mutant no longer fits the code"
        source = source.replace(before, after)
    module = types.ModuleType("mutated_lane")
    sys.modules["mutated_lane"] = module
    exec(compile(source, "mutated_lane.py", "exec"), module.__dict__)  # noqa: S102 - our own source
    return module


def _script(lane: Lane, ledger: int, sent: int) -> None:
    def add(banner: int) -> None:
        os.write(ledger, b"T %d\n" % banner)
        if lane.add(str(banner)):
            os.write(ledger, b"A %d\n" % banner)

    def empty() -> None:
        lane.seal()
        while lane.tail < lane.head:
            os.write(sent, b"%d %s\n" % (lane.tail, lane.blob(lane.tail).hex().encode()))
            lane.free(lane.tail)

    for lap in range(2):
        for banner in (1, 2, 1, 3, 4, 3, 5, 6, 7):  # more than the ring holds
            add(banner)
        empty()
        add(1 + lap)
        empty()


def _die_before(module: types.ModuleType, folder: Path, bytecode: int) -> int:
    """Run the script in a forked child that dies before its n-th bytecode; answers the child's wait status."""
    if (pid := os.fork()) != 0:
        return os.waitpid(pid, 0)[1]
    try:
        ledger = os.open(folder / "ledger", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        sent = os.open(folder / "sent", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        passed = 0

        def step(frame: types.FrameType, event: str, argument: object) -> object:
            nonlocal passed
            if event == "opcode":
                passed += 1
                if passed == bytecode:
                    os.kill(os.getpid(), signal.SIGKILL)
            return step

        def trace(frame: types.FrameType, event: str, argument: object) -> object:
            code = frame.f_code
            if code.co_filename != "mutated_lane.py" or code.co_name in ("create", "acquire", "boot_id", "_format"):
                return None
            frame.f_trace_opcodes = True
            return step

        sys.settrace(trace)  # type: ignore[arg-type]
        _script(module.Lane.acquire(folder, **SIZE), ledger, sent)
        sys.settrace(None)
        os._exit(0)
    except BaseException:
        os._exit(3)


def _fault(module: types.ModuleType, folder: Path) -> str:
    """What is wrong with the lane that a dead child left, and with what it sent; empty when nothing is."""
    tried, counted, pages = Counter[int](), Counter[int](), dict[int, str]()
    for line in (folder / "ledger").read_text().splitlines():
        (tried if line[0] == "T" else counted)[int(line[2:])] += 1
    for line in (folder / "sent").read_text().splitlines():
        seq, blob = line.split(" ")
        if pages.setdefault(int(seq), blob) != blob:
            return "one seq, two contents"
    heir = module.Lane.acquire(folder, **SIZE)
    try:
        if heir.path.name != "0.lane":
            return "the lane cannot be adopted"
        while heir.tail < heir.head or heir.seal():
            blob = heir.blob(heir.tail).hex()
            if pages.setdefault(heir.tail, blob) != blob:
                return "a page sent again differs"
            heir.free(heir.tail)
    finally:
        heir.close()
    got = Counter[int]()
    for blob in pages.values():
        words = memoryview(bytes.fromhex(blob)).cast("Q")
        for at in range(0, len(words), 3):
            got[words[at + 1]] += words[at + 2]
    wrong = [banner for banner in got.keys() | counted.keys() if not counted[banner] <= got[banner] <= tried[banner]]
    return f"banners {wrong}: {got} of {counted}..{tried}" if wrong else ""


def _faults(mutant: str, folder: Path, until_first: bool) -> tuple[int, list[str]]:
    """(points at which the child was killed, faults found)."""
    module, points, faults = mutated(mutant), 0, list[str]()
    while True:
        here = folder / str(points)
        here.mkdir()
        (here / "ledger").touch()
        (here / "sent").touch()
        status = _die_before(module, here, points + 1)
        assert status in (0, signal.SIGKILL), status
        if fault := _fault(module, here):
            faults.append(f"bytecode {points + 1}: {fault}")
        shutil.rmtree(here)
        if status == 0 or (until_first and faults):
            return points, faults
        points += 1


def test_a_kill_before_any_bytecode_loses_and_doubles_nothing(tmp_path: Path) -> None:
    points, faults = _faults("", tmp_path, until_first=False)
    assert points > 1000
    assert not faults


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_lane_that_stores_in_another_order_is_caught(mutant: str, tmp_path: Path) -> None:
    assert _faults(mutant, tmp_path, until_first=True)[1]
