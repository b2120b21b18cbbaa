"""What can be known about compose.yaml, its images and its files without a container engine."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ingest import server
from shared.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: `migrate` ends by itself; everything else runs until it is stopped.
LONG_RUNNING = sorted(set(SERVICES) - {"migrate"})
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
#: A tag that means one build: two numbers at least, as in 18.6-trixie or v3.15.0.
EXACT = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?$")
#: Set by compose.yaml itself: where things are inside the containers.
FIXED = {
    "data_dir",
    "redis_url",
    "database_url",
    "clickhouse_url",
    "host",
    "port",
    "metrics_host",
    "metrics_port",
    "log_format",
}


def variables(text: str) -> set[str]:
    """Names of our settings in a text, without the `_FILE` of those that name a file."""
    names = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", text))
    return {name.removesuffix("_FILE") for name in names}


def seconds(duration: str) -> int:
    """`90s`, as compose.yaml writes durations."""
    assert duration.endswith("s")
    return int(duration.removesuffix("s"))


def known() -> set[str]:
    """The variable of every setting."""
    return {PREFIX + name.upper() for name in Settings.__struct_fields__}


def example() -> dict[str, str]:
    """The variables of .env.example with their values, all of which stand in comments."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_compose_file_follows_the_compose_specification() -> None:
    # compose_spec.json is the schema that docker-compose 1.29.2 (Apache-2.0) ships, so old engines take the file too.
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text())
    errors = [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(COMPOSE)
    ]
    assert errors == []


@pytest.mark.parametrize("file", ["compose.yaml", ".env.example", "deploy/Dockerfile"])
def test_every_variable_is_a_setting(file: str) -> None:
    found = variables((ROOT / file).read_text())
    assert found
    assert found <= known()


def test_every_setting_reaches_the_containers_and_stands_in_the_example() -> None:
    assert set(SERVICES["ingest"]["environment"]) == {
        PREFIX + name.upper() + ("_FILE" if name in ("database_url", "clickhouse_url") else "")
        for name in Settings.__struct_fields__
    }
    assert known() <= set(example())


def test_the_example_shows_the_defaults() -> None:
    defaults = Settings()
    shown = {name: value for name, value in example().items() if name.startswith(PREFIX) and value}
    settings = load(shown)
    assert settings == defaults
    fields = Settings.__struct_fields__
    unset = {PREFIX + name.upper() for name in fields if getattr(defaults, name) in (None, ())}
    assert {name for name, value in example().items() if name.startswith(PREFIX) and not value} == unset


def test_every_variable_that_compose_reads_stands_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text()
    read = set(re.findall(r"\$\{([A-Z_0-9]+)", text))
    assert read <= set(example())


@pytest.mark.parametrize("environment", [SERVICES["ingest"]["environment"], SERVICES["aggregator"]["environment"]])
def test_the_environment_of_the_containers_loads(environment: dict[str, str | None], tmp_path: Path) -> None:
    secret = tmp_path / "database_url"
    secret.write_text("postgresql://tallybook:x@postgres:5432/tallybook\n")
    values = {name: _substituted(value) for name, value in environment.items() if value is not None}
    other = tmp_path / "clickhouse_url"
    other.write_text("http://tallybook:x@clickhouse:8123/tallybook\n")
    files = {"TALLYBOOK_DATABASE_URL_FILE": str(secret), "TALLYBOOK_CLICKHOUSE_URL_FILE": str(other)}
    settings = load(values | files)
    assert settings.clickhouse_url == other.read_text().strip()
    assert settings.database_url == secret.read_text().strip()
    assert settings.lanes_dir == Path("/data/lanes")
    front = _substituted(COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"])
    assert settings.trusted_proxies == (front,)


def test_workers_are_as_many_as_the_cores_that_the_container_may_use() -> None:
    workers = _substituted(SERVICES["ingest"]["environment"]["TALLYBOOK_WORKERS"])
    assert workers == SERVICES["ingest"]["deploy"]["resources"]["limits"]["cpus"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_to_exact_versions(name: str) -> None:
    assert EXACT.match(SERVICES[name]["image"])


def test_the_image_is_of_this_version_and_from_exact_bases() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {SERVICES[name]["image"] for name in ("ingest", "aggregator", "migrate")} == {f"tallybook:{version}"}
    assert f'image.version="{version}"' in DOCKERFILE
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(EXACT.match(base) for base in bases)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_s5_no_service_runs_as_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]
    uid = service["user"].split(":")[0]
    assert int(uid) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_s5_root_file_systems_are_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "/tmp" in SERVICES[name]["tmpfs"]


def test_s5_the_image_runs_as_an_ordinary_user() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == [SERVICES["ingest"]["user"]]
    assert "--require-hashes" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert SERVICES[name]["pids_limit"] > 0
    assert SERVICES[name]["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_long_running_service_is_watched_and_stops_gracefully(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"  # no shell
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert seconds(SERVICES[name]["stop_grace_period"]) > 10
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["ingest", "aggregator", "nginx"])
def test_a_stop_waits_longer_than_the_drain(name: str) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) > Settings().drain_timeout_s


def test_s1_only_nginx_publishes_ports_and_stores_have_no_way_out() -> None:
    assert [name for name in sorted(SERVICES) if "ports" in SERVICES[name]] == ["nginx"]
    assert all(not port.endswith(":9464") for port in SERVICES["nginx"]["ports"])
    assert "back" not in SERVICES["nginx"]["networks"]
    for network in ("back", "watch"):
        assert COMPOSE["networks"][network]["internal"] is True
    for name in ("clickhouse", "kafka", "redis", "postgres", "migrate"):
        assert SERVICES[name]["networks"] == ["back"]


def test_kafka_is_there_for_those_who_ask_for_it_and_takes_what_the_log_expects() -> None:
    assert [name for name in sorted(SERVICES) if "profiles" in SERVICES[name]] == ["kafka"]
    kafka = SERVICES["kafka"]
    assert kafka["profiles"] == ["kafka"]
    settings = load({"TALLYBOOK_LOG_URL": "kafka://kafka:9092"})  # as the comment above the service says
    assert settings.log_url in (ROOT / "compose.yaml").read_text()
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert all(isinstance(value, str) for value in kafka["environment"].values())
    # The broker of the tests, of the same version.
    pom = (ROOT / "tests/kafka/pom.xml").read_text()
    assert f"<kafka.version>{kafka['image'].rpartition(':')[2]}</kafka.version>" in pom
    assert "TALLYBOOK_LOG_URL" in SERVICES["ingest"]["environment"]


def test_hits_pass_through_nginx() -> None:
    configuration = (ROOT / "deploy/nginx/nginx.conf").read_text()
    assert re.search(r"location / \{\s+proxy_pass http://ingest;", configuration)
    for header in ("X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme", "X-Forwarded-Host $http_host"):
        assert f"proxy_set_header {header};" in configuration


def test_redis_keeps_what_it_acknowledged() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--no-appendfsync-on-rewrite"] == "no"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--save"] == ""
    assert options["--maxmemory"] == SERVICES["ingest"]["environment"]["TALLYBOOK_REDIS_MEMORY_BYTES"]
    assert options["--maxmemory"] == f"${{TALLYBOOK_REDIS_MEMORY_BYTES:-{Settings().redis_memory_bytes}}}"
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_what_must_last_is_on_named_volumes() -> None:
    folders = {
        "ingest": "/data",
        "redis": "/data",
        "postgres": "/var/lib/postgresql",
        "clickhouse": "/var/lib/clickhouse",
        "kafka": "/var/lib/kafka/data",
    }
    for name, folder in folders.items():
        named = [volume.split(":") for volume in SERVICES[name]["volumes"]]
        assert [source for source, target, *_ in named if target == folder and source in COMPOSE["volumes"]]


def test_services_wait_for_what_they_need() -> None:
    for name in ("clickhouse", "postgres"):
        assert SERVICES["migrate"]["depends_on"][name]["condition"] == "service_healthy"
    for name in ("ingest", "aggregator"):
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert SERVICES[name]["depends_on"]["redis"]["condition"] == "service_healthy"
    assert SERVICES["nginx"]["depends_on"]["ingest"]["condition"] == "service_healthy"


@pytest.mark.parametrize(
    "path",
    sorted(
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ),
)
def test_every_mounted_file_is_in_the_repository(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_file_that_the_image_copies_is_in_the_repository() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_proxy_fits_the_service() -> None:
    configuration = (ROOT / "deploy/nginx/nginx.conf").read_text()
    number = {
        name: [int(found) for found in re.findall(rf"^ *{name} (\d+)[a-z]*;", configuration, re.MULTILINE)]
        for name in ("worker_processes", "worker_connections", "keepalive_timeout")
    }
    # Half of nginx's connections are those to the service.
    assert number["worker_processes"][0] * number["worker_connections"][0] // 2 <= server._CONNECTIONS
    to_clients_s, to_service_s = number["keepalive_timeout"]
    assert to_service_s * 1000 < server._HEADER_TIMEOUT_MS < to_clients_s * 1000
    limits = re.findall(r"client_max_body_size (\w+);", configuration)
    of = Settings()
    assert limits[:3] == [
        f"{of.body_max_bytes >> 10}k",
        f"{of.bulk_body_max_bytes >> 20}m",
        f"{of.events_body_max_bytes >> 20}m",
    ]


def test_the_secrets_are_made_where_compose_looks_for_them(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((ROOT / "deploy/secrets.sh").read_text())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    # The password of ClickHouse itself is in no container: the server knows its hash.
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(made) - {"clickhouse_password"}
    assert made["postgres_password"] in made["database_url"]
    assert made["clickhouse_password"] in made["clickhouse_url"]
    digest = hashlib.sha256(made["clickhouse_password"].encode()).hexdigest()
    assert f"<tallybook><password_sha256_hex>{digest}</password_sha256_hex>" in made["clickhouse_users.xml"]
    assert len({made["postgres_password"], made["grafana_password"], made["clickhouse_password"]}) == 3
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def _substituted(value: str) -> str:
    """The value with the default of each `${NAME:-default}`."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize(("answer", "code"), [(200, 0), (204, 0), (404, 1), (503, 1), (None, 1)])
def test_the_health_check_believes_only_2xx(answer: int | None, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen([sys.executable, ROOT / "deploy/healthcheck.py", f"http://127.0.0.1:{port}/health"])
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /health HTTP/1.1\r\n")
            if answer is not None:
                connection.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % answer)
    assert process.wait(timeout=10) == code
