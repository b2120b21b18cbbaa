"""Kill -9 before every bytecode of the lane: `python -m tests.harness.subjects.lane_kills [MUTANT]` prints points and
faults as JSON.

A child runs a fixed script of clicks and drains with a tracer that kills it before its k-th bytecode inside lane.py,
for every k. It notes each click before (T) and after (A) it is made, and each page that it would have sent. The heir
of its lane must then hold, together with the pages sent, every click noted A and none that was not noted T; a page
that is sent again must be the same to the byte. The mutants break the order of two stores, and must be caught.

It is a program of its own because each point costs a fork, and a fork of a small process is cheap.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import types
from collections import Counter
from pathlib import Path

import shared.counting.lane as lane_module
from shared.counting.lane import Lane

SIZE = {"minute_s": 60, "pages": 3, "entries": 2}

MUTANTS = {
    "published before it is written": (
        "        words[slot] = minute\n        words[slot + 1] = banner\n        words[slot + 2] = n\n"
        '        crash_point("written")\n'
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


def main() -> None:
    """Try every point of the lane itself; of a mutant, until the first fault."""
    mutant = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as folder:
        points, faults = _faults(mutant, Path(folder), until_first=bool(mutant))
    print(json.dumps({"points": points, "faults": faults}))


if __name__ == "__main__":
    main()
