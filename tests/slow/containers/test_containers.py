"""`docker compose up` with a real engine: the page that walks through it, and what becomes of clicks under kills.

It runs with `make test-containers`, not with the other tests. Images are stand-ins (standins.sh), and ClickHouse is the
embedded engine.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.process import free_port
from tests.harness.services import missing
from tests.harness.wait import wait_for

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/containers.md").read_text()
#: Seconds until something that takes seconds counts as not done; containers of a busy machine start slowly.
PATIENCE_S = 240
pytestmark = pytest.mark.timeout(1800)


class Engine:
    """A project of Compose of its own, from a fresh copy of the sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        plugins = folder.parent / "docker/cli-plugins"
        plugins.mkdir(parents=True)
        plugins.joinpath("docker-compose").symlink_to(_compose())
        self.environ = {
            "PATH": f"{plugins}:{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "DOCKER_CONFIG": str(plugins.parent),
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_PROJECT_NAME": f"tallybook-test-{self.port}",
            "COMPOSE_FILE": "compose.yaml:tests/slow/containers/compose.yaml",
            "FRONT_SUBNET": "10.213.93.0/24",
            "TALLY_PORT": str(self.port),
            "TLS_PORT": str(self.tls_port),
            "GRAFANA_PORT": str(free_port()),
            "PROMETHEUS_PORT": str(free_port()),
        }

    def run(self, *command: str, **more: str) -> str:
        """The output of a command; a failure shows all of it."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ | more, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def compose(self, *arguments: str, **more: str) -> str:
        return self.run("docker", "compose", *arguments, **more)

    def containers(self, service: str) -> list[str]:
        """Ids of the containers of a service."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspected(self, service: str) -> list[dict[str, Any]]:
        return [one for name in self.containers(service) for one in json.loads(self.run("docker", "inspect", name))]

    def request(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Status and body; 0 when nobody answered."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310 - http:// of this host
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def click(self, banner: int, count: int) -> int:
        """Send clicks and return how many were acknowledged; one that nobody answers is sent as often as it takes."""
        return sum(self.request(f"/stats/{banner}", "POST")[0] == 204 for _ in range(count))

    def total(self, key: str, banner: int) -> int | None:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        path = f"/stats/{banner}?tsFrom={day}T00:00:00Z&tsTo={day}T23:59:59Z"
        status, body = self.request(path, Authorization=f"Bearer {key}")
        return json.loads(body)["total"] if status == 200 else None

    def is_healthy(self, service: str) -> bool:
        states = [one["State"] for one in self.inspected(service)]
        return bool(states) and all(one["Running"] and one["Health"]["Status"] == "healthy" for one in states)


def _compose() -> str:
    done = subprocess.run([ROOT / ".ci/compose"], capture_output=True, text=True, check=False)
    if done.returncode:
        missing("docker-compose", done.stderr.strip())
    return done.stdout.strip()


def walk() -> list[str]:
    """The commands of the page, in order: those behind a `$`."""
    return re.findall(r"^    \$ (.+)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        missing("docker", "no container engine answers")
    folder = tmp_path_factory.mktemp("containers") / "clone"
    # The tracked files, as they are now, with the modes that a clone gives them.
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    folder.mkdir()
    copied = subprocess.run(["tar", "--null", "-T", "-", "-c"], cwd=ROOT, input=files, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=folder, input=copied.stdout, check=True)
    made = Engine(folder)
    made.run("bash", "tests/slow/containers/standins.sh")
    yield made
    made.compose("--profile", "tls", "down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def key(engine: Engine) -> str:
    """What the page says, done; the key that it makes."""
    script = "\n".join(["set -euo pipefail", *walk(), 'echo "KEY=$KEY"'])
    for port, other in (("8080", engine.port), ("9090", int(engine.environ["PROMETHEUS_PORT"]))):
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}")
    output = engine.run("bash", "-c", script)
    assert "HTTP/1.1 204 No Content" in output
    assert '"bannerId":42,"total":1' in output
    assert "set-cookie: user_id=" in output.lower()
    assert '"accepted":1' in output
    assert (engine.folder / "tallybook.dump").stat().st_size > 1000
    return output.rpartition("KEY=")[2].strip()


def test_every_command_of_the_page_works_as_it_stands(engine: Engine, key: str) -> None:
    assert key.startswith("tb_")
    for service in ("nginx", "ingest", "aggregator", "redis", "postgres", "clickhouse", "prometheus"):
        wait_for(lambda service=service: engine.is_healthy(service), f"{service} is healthy")
    assert engine.total(key, 42) == 1  # also after the stop and the start at the end of the page


@pytest.mark.parametrize("service", ["nginx", "ingest", "aggregator", "redis", "postgres", "clickhouse", "prometheus"])
def test_s5_limits_users_and_capabilities_are_in_force(engine: Engine, key: str, service: str) -> None:
    (container,) = engine.inspected(service)
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
    found = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
    assert set(found["Uid"].split()) == {container["Config"]["User"].split(":")[0]}
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert found["NoNewPrivs"] == "1"


def test_every_line_of_our_containers_is_json(engine: Engine, key: str) -> None:
    engine.request("/nowhere")
    for service in ("nginx", "ingest", "aggregator", "migrate"):
        lines = engine.compose("logs", "--no-log-prefix", "--no-color", service).splitlines()
        assert [line for line in lines if line and not line.startswith("{")] == []
        assert all(json.loads(line) for line in lines if line)


def test_the_service_cannot_make_a_key_and_the_dashboard_cannot_read_one(engine: Engine, key: str) -> None:
    def psql(role: str, statement: str) -> "subprocess.CompletedProcess[str]":
        command = [
            "docker",
            "compose",
            "exec",
            "-T",
            "postgres",
            "psql",
            "-X",
            "-U",
            role,
            "-d",
            "tallybook",
            "-c",
            statement,
        ]
        return subprocess.run(
            command, cwd=engine.folder, env=engine.environ, capture_output=True, text=True, check=False
        )

    for role in ("tallybook_service", "tallybook_dashboard"):
        assert psql(role, "SELECT count(*) FROM click_stats").returncode == 0
        for statement in (
            "INSERT INTO api_keys (prefix, hash, name, scopes) VALUES ('x', '', 'x', '{admin}')",
            "DELETE FROM click_stats",
            "CREATE TABLE mine (x int)",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            refusal = psql(role, statement).stderr
            assert "permission denied" in refusal or "read-only transaction" in refusal, (role, refusal)
    assert psql("tallybook_service", "SELECT count(*) FROM api_keys").returncode == 0
    assert "permission denied" in psql("tallybook_dashboard", "SELECT * FROM api_keys").stderr


def test_redis_is_closed_to_whoever_reaches_its_port(engine: Engine, key: str) -> None:
    said = engine.compose("exec", "-T", "redis", "valkey-cli", "ping")
    assert said.strip() == "PONG"
    for command in (["get", "x"], ["config", "get", "*"], ["flushall"]):
        assert "NOPERM" in engine.compose("exec", "-T", "redis", "valkey-cli", *command)


def test_acknowledged_clicks_survive_kill_restart_and_a_new_container(engine: Engine, key: str) -> None:
    sent = engine.click(1, 50)
    assert sent == 50
    for service in ("ingest", "redis", "postgres", "aggregator", "nginx"):
        engine.compose("kill", "--signal", "KILL", service)
        sent += engine.click(1, 20)  # some of these nobody answers
        engine.compose("up", "--detach", "--no-build", "--no-recreate", "nginx", "aggregator")
        wait_for(lambda: engine.request("/health/live")[0] == 200, "an answer")
        sent += engine.click(1, 20)
    engine.compose("restart", "ingest")
    wait_for(lambda: engine.request("/health/live")[0] == 200, "an answer")
    sent += engine.click(1, 20)
    engine.compose("down")
    engine.compose("up", "--detach", "--no-build", "nginx", "aggregator", "prometheus")
    wait_for(lambda: engine.total(key, 1) is not None, "a read")
    assert engine.total(key, 1) == sent


def test_replicas_share_their_lanes_and_the_clicks_of_a_dead_one_are_counted(engine: Engine, key: str) -> None:
    engine.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "ingest=2", "ingest")
    wait_for(lambda: len(engine.containers("ingest")) == 2 and engine.is_healthy("ingest"), "two replicas are healthy")

    network = f"{engine.environ['COMPOSE_PROJECT_NAME']}_front"

    def addresses() -> set[str]:
        return {one["NetworkSettings"]["Networks"][network]["IPAddress"] for one in engine.inspected("ingest")}

    assert len(addresses()) == 2
    engine.compose("pause", "redis")  # nothing leaves the lanes
    sent = engine.click(2, 200)
    assert sent == 200
    engine.run("docker", "kill", "--signal", "KILL", engine.containers("ingest")[1])
    engine.compose("unpause", "redis")
    wait_for(lambda: engine.request("/stats/2", "POST")[0] == 204, "a click")
    wait_for(lambda: engine.total(key, 2) == sent + 1, "all clicks are counted")
    wait_for(lambda: engine.is_healthy("redis"), "redis is healthy again after its pause")
    engine.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "ingest=1", "ingest")
    wait_for(lambda: engine.total(key, 2) == sent + 1, "all clicks are counted by one replica")


def test_stops_end_in_time_and_in_order(engine: Engine, key: str) -> None:
    engine.compose("stop")
    for service in ("nginx", "ingest", "aggregator", "redis", "postgres", "prometheus"):
        (container,) = engine.inspected(service)
        assert (service, container["State"]["ExitCode"]) == (service, 0)
    engine.compose("up", "--detach", "--no-build", "nginx", "aggregator", "prometheus")


def test_tls_ends_in_the_profile_and_the_scheme_is_known_behind_it(engine: Engine, key: str) -> None:
    folder = engine.folder / "deploy/tls"
    made = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"))
    names = ("-subj", "/CN=count.test", "-addext", "subjectAltName=IP:127.0.0.1")
    engine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *made)
    os.chown(folder / "key.pem", 101, 101)
    engine.compose("--profile", "tls", "up", "--detach", "--no-build", "--no-recreate", "tls")
    wait_for(lambda: engine.is_healthy("tls"), "tls is healthy")
    trusted = ssl.create_default_context(cafile=folder / "certificate.pem")
    tracker = engine.compose("exec", "-T", "aggregator", "tallybook", "trackers", "add", "tls").strip()
    address = f"https://127.0.0.1:{engine.tls_port}"

    def hit() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/track?id={tracker}", timeout=40, context=trusted) as answer:  # noqa: S310
                return bool(answer.status == 204)
        except urllib.error.HTTPError as error:
            error.close()
            return False

    wait_for(hit, "a hit over TLS")
    query = f"SELECT DISTINCT url FROM tallybook.tracker_events WHERE tracker_id = '{tracker}' FORMAT TSV"
    program = """if True:
        import sys, urllib.parse, urllib.request
        url = urllib.parse.urlsplit(open("/run/secrets/clickhouse_url").read().strip())
        who = {"X-ClickHouse-User": url.username, "X-ClickHouse-Key": url.password}
        request = urllib.request.Request(f"http://{url.hostname}:{url.port}/", data=sys.argv[1].encode(), headers=who)
        print(urllib.request.urlopen(request).read().decode())
    """

    def stored() -> str:
        return engine.compose("exec", "-T", "aggregator", "python", "-c", program, query).strip()

    wait_for(stored, "the hit is stored")
    assert stored().startswith(f"{address}/track?id=")
