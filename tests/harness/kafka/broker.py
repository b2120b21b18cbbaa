"""A real Apache Kafka for the tests: the artefacts that `pom.xml` names, fetched by Maven, in KRaft mode on loopback.

The artefacts stay in `~/.cache/tallybook-test`, so only the first run needs a network. The broker lives as long as the
tests; its files are in the folder given.
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.process import end, free_ports
from tests.harness.services import missing
from tests.harness.wait import wait_for

_POM = Path(__file__).parent / "pom.xml"
#: Kafka 4 brokers run on Java 17 and newer.
_JAVA = 17
#: Seconds for Maven to fetch 130 MB.
_FETCH_S = 600.0
_JVM = ("-Dlog4j2.level=WARN", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{plain},FAULTY://127.0.0.1:{faulty},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},FAULTY://127.0.0.1:{advertised}
listener.security.protocol.map=PLAIN:PLAINTEXT,FAULTY:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
log.dirs={folder}/data
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.check.interval.ms=1000
"""


class Broker:
    """One broker on a folder, which can be killed and started again. `address` is its own; `faulty` is the port of a
    second listener that sends its clients to the port `advertised`: a proxy's."""

    def __init__(self, folder: Path, advertised: int) -> None:
        java, jars = _java(), artefacts()
        self._port, self.faulty, controller = free_ports(3)
        self.folder = folder
        folder.mkdir(parents=True)
        self._properties = folder / "server.properties"
        ports = {"plain": self._port, "faulty": self.faulty, "controller": controller, "advertised": advertised}
        self._properties.write_text(_PROPERTIES.format(folder=folder, **ports))
        self._run = [java, *_JVM, "-cp", f"{jars}/*"]
        cluster = urlsafe_b64encode(b"t" + uuid.uuid4().bytes[1:]).decode().rstrip("=")  # no option: they begin with -
        formatting = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(self._properties)]
        subprocess.run([*self._run, *formatting], check=True, capture_output=True, cwd=folder)
        self.address = f"127.0.0.1:{self._port}"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it without waiting."""
        with (self.folder / "kafka.log").open("ab") as output:
            path = shutil.which("setpriv")
            died = [path, "--pdeathsig", "KILL"] if path else []  # not to outlive the tests
            command = [*died, *self._run, "kafka.Kafka", str(self._properties)]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder)

    def wait(self) -> None:
        """Until it listens."""
        assert self.process is not None

        def listens() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "kafka.log").read_text(errors="replace")[-1500:]
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        wait_for(listens, f"kafka listens: {self.folder}/kafka.log")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        if self.process is not None:
            end(self.process, 20)


@contextmanager
def broker(folder: Path, advertised: int = 1) -> Iterator[Broker]:
    """A broker that runs."""
    one = Broker(folder, advertised)
    try:
        one.start()
        yield one
    finally:
        one.stop()


@contextmanager
def kafka(folder: Path, advertised: int) -> Iterator[tuple[str, int]]:
    """Its address, and the port of a second listener that sends its clients to the port `advertised`: a proxy's."""
    with broker(folder, advertised) as one:
        yield one.address, one.faulty


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        missing("kafka", "there is no java on PATH (Debian: openjdk-17-jre-headless)")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _JAVA:
        missing("kafka", f"it needs Java {_JAVA}, and {java} is {said.splitlines()[0] if said else 'broken'}")
    return java


def artefacts() -> Path:
    """The folder of the broker's jars."""
    name = f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    folder = Path.home() / ".cache" / "tallybook-test" / name
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        missing("kafka", "there is no mvn on PATH to fetch its artefacts (Debian: maven)")
    unfinished = folder.with_name(f"{name}.{os.getpid()}")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
    command = [maven, "-q", "-B", "-f", str(_POM), *goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_S)
    if done.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        missing("kafka", f"Maven cannot fetch its artefacts: {done.stdout.strip()[-300:]}")
    try:
        unfinished.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
