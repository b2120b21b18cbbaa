"""The embedded ClickHouse of tests: a gateway that can be killed and started again on its folder."""

import base64
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from shared.settings import Settings
from tests.harness import http
from tests.harness.process import ROOT, environ, free_port, launched
from tests.harness.wait import wait_for

USER, PASSWORD = "tester", "s3cret"


class Answer(http.Answer):
    """What came back."""

    @property
    def code(self) -> int:
        """The code of ClickHouse; 0 when all went well."""
        return int(self.headers.get("x-clickhouse-exception-code", 0))


class Gateway:
    """`python -m gateway` on a folder."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder / "clickhouse"
        self.port = free_port()
        self.log = folder / "gateway.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environ = environ
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """With the password, without a database."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def settings(self, database: str = "", **fields: object) -> Settings:
        """Of a client."""
        return Settings(**{"clickhouse_url": f"{self.url}/{database}", "clickhouse_timeout_s": 20.0} | fields)

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it without waiting for it."""
        variables = {
            **environ(data_dir=self.folder.parent, clickhouse_url=self.url),
            "PYTHONPATH": str(ROOT),
            **self._environ,
        }
        return launched("-P", "-m", "gateway", log=self.log, cwd=Path("/"), env=variables, start_new_session=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = self.launch()
        wait_for(self.answers, f"the gateway answers: {self.log.read_text()[-2000:]}")

    def answers(self) -> bool:
        """Whether /ping is answered."""
        assert self.process
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with suppress(OSError):
            return self.ask("GET", "/ping", user=None).status == 200
        return False

    def signal(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def limit_memory(self, further_bytes: int) -> None:
        """Let the process have no more address space than it has, and these bytes."""
        assert self.process
        has = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (has + further_bytes, has + further_bytes))

    def ask(
        self,
        method: str,
        path: str = "/",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        user: str | None = USER,
        password: str = PASSWORD,
        **parameters: str,
    ) -> Answer:
        """One request over a connection of its own."""
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = ({"Authorization": f"Basic {credentials}"} if user else {}) | (headers or {})
        query = f"?{urlencode(parameters)}" if parameters else ""
        return Answer(*http.request(self.port, path + query, method, body or None, headers))
