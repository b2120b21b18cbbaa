"""A stop of the workers' parent is never lost, whatever the parent does when the signal comes."""

import subprocess
import sys

from tests.harness.process import ROOT
from tests.harness.wait import PATIENCE_S

#: Runs the main loop when a worker has died, and sends SIGTERM before each line of it in turn, down into the library;
#: at last when it waits, where there is no line any more.
EVERY_LINE = """
import itertools, os, signal, sys
from granian._signals import set_main_signals
from ingest.server import server
from shared.settings import Settings

def stop(*_):
    os.kill(os.getpid(), signal.SIGTERM)

def placed(at):
    lines = itertools.count(1)
    def look(frame, event, argument):
        if event == "line" and next(lines) == at:
            stop()
        return look
    return look

waits = []
signal.signal(signal.SIGALRM, lambda *_: (waits.append(True), stop()))
for at in itertools.count(1):
    parent = server(Settings())
    parent._respawn_workers = lambda *arguments: None
    set_main_signals(parent.signal_handler_interrupt)
    parent.interrupt_children.append(0)
    parent.main_loop_interrupt.set()
    signal.alarm(2)
    sys.settrace(placed(at))
    parent._serve_loop(None, None)
    sys.settrace(None)
    signal.alarm(0)
    if waits:
        break
    print(at, flush=True)
"""


def test_a_stop_ends_the_main_loop_at_whatever_line_it_comes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY_LINE], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 10
