"""A real Chromium for tests: Debian's, driven by playwright-core under Node. No browser is downloaded.

    def test_a_page_has_a_title(chromium: Chromium) -> None:
        assert chromium.run("await page.goto(args.url); return await page.title()", url="http://...") == "Title"

`CHROMIUM` names the browser, else it is looked for on PATH. Where it, Node or npm is missing, tests are skipped, and
fail where `TALLYBOOK_TEST_REQUIRE` names `chromium` or `node`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

from tests.harness.process import ROOT, end
from tests.harness.services import missing, require

#: Where playwright-core, esbuild and typescript are pinned.
PACKAGES = ROOT / "web/snippet"
_DRIVER = Path(__file__).with_name("driver.mjs")
#: Seconds that `npm ci` may take.
_INSTALL_S = 150
#: Seconds that a browser may take to start, and beside its time limit a script to end.
_START_S = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: The agent of a person: the name of a headless browser is that of a machine. It is a switch, because an agent that
#: playwright gives to a context is not that of a beacon which outlives its page.
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
#: Tests run as root, in containers with a small /dev/shm, and look at pages as people do: no sign of a machine.
_ARGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-blink-features=AutomationControlled",
    f"--user-agent={PERSON}",
)
#: Switches of playwright that pages of people do not have.
_IGNORED = ("--disable-back-forward-cache", "--enable-automation")


#: What a browser that is only given an address needs besides: pages may open and close tabs by themselves.
_ALONE = ("--headless=new", "--no-first-run", "--disable-popup-blocking")


class ScriptFailed(AssertionError):
    """A script threw, was late, or one of its pages had an uncaught error."""


def node_modules(packages: Path = PACKAGES) -> Path:
    """Return the folder with the packages that a lock pins; install them on first use, one process at a time."""
    require("node")
    lock = packages / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    installed = packages / "node_modules/.of-lock"
    with (packages / ".install.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (installed.exists() and installed.read_text() == wanted):
            _install(packages)
            installed.write_text(wanted)
    return packages / "node_modules"


def _install(packages: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        missing("node", "there is no npm on PATH")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        missing("node", f"npm ci took more than {_INSTALL_S} s")
    if done.returncode:
        missing("node", f"npm ci failed: {done.stderr[-2000:]}")


def executable() -> str:
    """Return the path of the browser, or skip."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else _NAMES:
        if path := shutil.which(name):
            return path
    missing("chromium", f"there is no {named or 'chromium'} on PATH")


class Chromium:
    """One browser. Each script has a context of its own: no cache, cookie or storage of another."""

    def __init__(self, log: Path, args: Sequence[str] = (), ignored: Sequence[str] = (), **options: object) -> None:
        """Start it. `args` are further switches, `ignored` those of playwright to leave out, `options` of `launch`."""
        self.log = log
        launch = {
            "executablePath": executable(),
            "args": [*_ARGS, *args],
            "ignoreDefaultArgs": [*_IGNORED, *ignored],
            **options,
        }
        command = [require("node"), str(_DRIVER), str(node_modules().parent), json.dumps(launch)]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._answers: Queue[str | None] = Queue()
        assert self._process.stdout
        Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        #: As `140.0.7339.0`.
        self.version: str = self._answer(_START_S)

    def run(self, script: str, *, timeout_s: float = 60.0, context: dict[str, Any] | None = None, **args: Any) -> Any:
        """Run the body of an async function (`driver.mjs` says what it sees) and return its result.

        `context` are options of playwright's `newContext`. Raises ScriptFailed.
        """
        assert self._process.stdin
        request = {"script": script, "args": args, "context": context or {}, "timeoutMs": timeout_s * 1000}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer(timeout_s + _START_S)

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._answers.put(line)
        self._answers.put(None)

    def _answer(self, patience_s: float) -> Any:
        try:
            line = self._answers.get(timeout=patience_s)
        except Empty:
            raise TimeoutError(f"the browser says nothing: {self._errors()}") from None
        if line is None:
            raise OSError(f"the browser ended: {self._errors()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ScriptFailed(answer["error"])
        return answer["result"]

    def _errors(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """End it. The end of its input is enough; what does not end is killed."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            end(self._process, 10)


@contextmanager
def chromium(log: Path, args: Sequence[str] = (), ignored: Sequence[str] = (), **options: object) -> Iterator[Chromium]:
    """A browser with further switches, for as long as a test wants it."""
    one = Chromium(log, args, ignored, **options)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def unattended(url: str, folder: Path, args: Sequence[str] = ()) -> Iterator[None]:
    """A browser that shows this address and that nobody drives.

    Under a debugger every tab is visible and nothing is prerendered. Here pages do themselves what a test wants, and
    tell a `Site` what they saw.
    """
    data = folder / "profile"
    command = [
        executable(),
        *_ALONE,
        *_ARGS,
        *args,
        f"--user-data-dir={data}",
        f"--user-agent={PERSON.format(140)}",
        url,
    ]
    with (folder / "chromium.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        end(process, 10)
