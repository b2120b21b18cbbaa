"""A signal ends the program in order, its echoes change nothing, and who asks again does not wait."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.process import Program, program
from tests.harness.wait import wait_for

#: Waits in one of both ways until a signal comes, and then takes as many seconds to stop as it is told.
PROGRAM = """
import asyncio, sys, time
from tallybook.interrupt import Interrupt, Interrupted

interrupt = Interrupt()
interrupt.install()

async def work():
    try:
        print("up", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cancelled", flush=True)

try:
    if sys.argv[1] == "loop":
        interrupt.run(work())
    else:
        print("up", flush=True)
        interrupt.sleep(60)
except Interrupted:
    print("stopping", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def waiting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """The program, when it waits."""
    with program("-c", PROGRAM, *request.param, log=tmp_path / "log") as one:
        assert one.line() == "up"
        yield one


@pytest.mark.parametrize("waiting", [("sleep", "0.3")], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_echoes_of_a_signal_do_not_cut_the_stop_short(waiting: Program, number: signal.Signals) -> None:
    for _ in range(3):
        waiting.process.send_signal(number)
    assert waiting.line() == "stopping"
    assert waiting.process.wait(30) == 0


@pytest.mark.parametrize("waiting", [("sleep", "60")], indirect=True)
def test_a_second_ctrl_c_does_not_wait(waiting: Program) -> None:
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.line() == "stopping"

    def ended() -> bool:
        waiting.process.send_signal(signal.SIGINT)
        return waiting.process.poll() is not None

    wait_for(ended, "the program has ended")
    assert waiting.process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("waiting", [("loop", "0")], indirect=True)
def test_work_in_an_event_loop_is_cancelled(waiting: Program) -> None:
    waiting.process.send_signal(signal.SIGTERM)
    assert [waiting.line(), waiting.line()] == ["cancelled", "stopping"]
    assert waiting.process.wait(30) == 0
