"""What can be known about compose.yaml, its images and its files without a container engine."""

import hashlib
import json
import re
import socket
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ingest.clicks import operations as clicks
from ingest.events import routes as events
from ingest.front import listener, worker
from shared.settings import NAMES, PREFIX, SECRETS, Settings, load
from tests.harness.services import missing, require

ROOT = Path(__file__).parents[3]
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
    return {PREFIX + name.upper() for name in NAMES}


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


@pytest.mark.parametrize("profiles", [(), ("kafka",), ("tls",)], ids=["plain", "kafka", "tls"])
def test_compose_v2_takes_the_file(profiles: tuple[str, ...]) -> None:
    # What no schema says: which keys exclude each other.
    compose = require("docker-compose")
    version = subprocess.run([compose, "version", "--short"], capture_output=True, text=True, check=True).stdout
    if version.lstrip("v").startswith("1."):
        missing("docker-compose", f"Compose {version.strip()} is no Compose v2")
    options = [f"--profile={profile}" for profile in profiles]
    done = subprocess.run(
        [compose, *options, "config", "-q"], cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("file", ["compose.yaml", ".env.example", "deploy/Dockerfile"])
def test_every_variable_is_a_setting(file: str) -> None:
    found = variables((ROOT / file).read_text())
    assert found
    assert found <= known()


def test_every_setting_reaches_the_containers_and_stands_in_the_example() -> None:
    named = {name.removesuffix("_FILE") for name in SERVICES["ingest"]["environment"]}
    assert named == known()
    assert known() <= {name.removesuffix("_FILE") for name in example()}


def test_what_the_example_says_beside_that_of_compose_itself_reaches_the_containers() -> None:
    own, rest = (ROOT / ".env.example").read_text().partition("# -- set by compose.yaml itself")[::2]
    named = re.findall(rf"^#({PREFIX}\w+)=", own + rest.partition("# -- the service")[2], re.MULTILINE)
    assert len(named) == len(NAMES) - 12  # which stand between the two marks
    assert set(named) <= set(SERVICES["ingest"]["environment"])


def test_the_example_shows_the_defaults() -> None:
    defaults = Settings()
    shown = {name: value for name, value in example().items() if name.startswith(PREFIX) and value}
    settings = load(shown)
    assert settings == defaults
    unset = {PREFIX + name.upper() for name in NAMES if getattr(defaults, name) in (None, ())}
    empty = {name.removesuffix("_FILE") for name, value in example().items() if name.startswith(PREFIX) and not value}
    assert empty == unset


def test_every_variable_that_compose_reads_stands_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text()
    read = set(re.findall(r"\$\{([A-Z_0-9]+)", text))
    assert read <= set(example())


def test_s2_no_secret_is_in_the_environment_of_a_container() -> None:
    secret = {PREFIX + name.upper() for name in SECRETS}
    assert secret
    for service in SERVICES.values():
        assert not secret & set(service.get("environment", {}))
    assert {f"{name}_FILE" for name in secret} <= set(SERVICES["ingest"]["environment"])


@pytest.mark.parametrize("environment", [SERVICES["ingest"]["environment"], SERVICES["aggregator"]["environment"]])
def test_the_environment_of_the_containers_loads(environment: dict[str, str | None], tmp_path: Path) -> None:
    secret = tmp_path / "database_url"
    secret.write_text("postgresql://tallybook:x@postgres:5432/tallybook\n")
    values = {name: _substituted(value) for name, value in environment.items() if value is not None}
    other = tmp_path / "clickhouse_url"
    other.write_text("http://tallybook:x@clickhouse:8123/tallybook\n")
    third = tmp_path / "redis_url"
    third.write_text("redis://tallybook:x@redis:6379/0\n")
    files = {"DATABASE": str(secret), "CLICKHOUSE": str(other), "REDIS": str(third)}
    settings = load(values | {f"TALLYBOOK_{name}_URL_FILE": path for name, path in files.items()})
    assert settings.redis_url == third.read_text().strip()
    assert settings.clickhouse_url == other.read_text().strip()
    assert settings.database_url == secret.read_text().strip()
    assert settings.lanes_dir == Path("/data/lanes")
    front = _substituted(COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"])
    assert settings.trusted_proxies == (front,)


def test_workers_are_as_many_as_the_cores_that_the_container_may_use() -> None:
    workers = _substituted(SERVICES["ingest"]["environment"]["TALLYBOOK_WORKERS"])
    assert float(workers) == SERVICES["ingest"]["cpus"]


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
    assert SERVICES[name]["cpus"] > 0
    assert re.fullmatch(r"\d+[mg]", _substituted(SERVICES[name]["mem_limit"]))
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
def test_l8_a_stop_waits_longer_than_the_drain(name: str) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) > Settings().drain_timeout_s


def test_s1_only_nginx_publishes_ports_and_stores_have_no_way_out() -> None:
    assert [name for name in sorted(SERVICES) if "ports" in SERVICES[name]] == ["nginx", "tls"]
    assert all(not port.endswith(":9464") for port in SERVICES["nginx"]["ports"])
    for port in SERVICES["nginx"]["ports"][1:]:  # dashboards and metrics have no business outside of this host
        assert port.startswith("127.0.0.1:")
    assert "back" not in SERVICES["nginx"]["networks"]
    assert SERVICES["tls"]["networks"] == ["front"]
    for network in ("back", "watch"):
        assert COMPOSE["networks"][network]["internal"] is True
    for name in ("clickhouse", "kafka", "redis", "postgres", "migrate"):
        assert SERVICES[name]["networks"] == ["back"]


def test_p1_clients_of_ipv6_are_not_mixed_up() -> None:
    """A port without an address is published on [::], too, by a proxy of the engine: all would have its address."""
    for name in ("nginx", "tls"):
        for port in SERVICES[name]["ports"]:
            assert re.match(r"\d+\.\d+\.\d+\.\d+:", _substituted(port))


def test_no_container_but_the_server_has_the_superuser_of_postgres() -> None:
    def secrets(name: str) -> set[str]:
        return {one if isinstance(one, str) else one["source"] for one in SERVICES[name].get("secrets", [])}

    assert [name for name in sorted(SERVICES) if "postgres_password" in secrets(name)] == ["postgres"]
    assert [name for name in sorted(SERVICES) if "database_url" in secrets(name)] == ["aggregator", "migrate"]
    assert "database_service_url" in secrets("ingest")
    assert "postgres_dashboard_password" in secrets("grafana")
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/tallybook.yml").read_text())["datasources"]
    (postgres,) = (source for source in sources if source["name"] == "Postgres")
    assert postgres["user"] == "tallybook_dashboard"
    assert postgres["secureJsonData"].popitem()[1] == "$__file{/run/secrets/postgres_dashboard_password}"


def test_no_other_network_of_an_engine_takes_the_subnet_that_is_fixed() -> None:
    front = ip_network(_substituted(COMPOSE["networks"]["front"]["ipam"]["config"][0]["subnet"]))
    # The default address pools of Docker, out of which networks without a subnet get theirs.
    assert not any(front.overlaps(ip_network(pool)) for pool in ("172.16.0.0/12", "192.168.0.0/16"))


def test_kafka_is_there_for_those_who_ask_for_it_and_takes_what_the_log_expects() -> None:
    assert [name for name in sorted(SERVICES) if "profiles" in SERVICES[name]] == ["kafka", "tls"]
    kafka = SERVICES["kafka"]
    assert kafka["profiles"] == ["kafka"]
    settings = load({"TALLYBOOK_LOG_URL": "kafka://kafka:9092"})  # as the comment above the service says
    assert settings.log_url in (ROOT / "compose.yaml").read_text()
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert all(isinstance(value, str) for value in kafka["environment"].values())
    # The broker of the tests, of the same version.
    pom = (ROOT / "tests/harness/kafka/pom.xml").read_text()
    assert f"<kafka.version>{kafka['image'].rpartition(':')[2]}</kafka.version>" in pom
    assert "TALLYBOOK_LOG_URL" in SERVICES["ingest"]["environment"]


def test_hits_pass_through_nginx() -> None:
    configuration = (ROOT / "deploy/nginx/nginx.conf").read_text()
    assert re.search(r"location / \{\s+proxy_pass http://ingest;", configuration)
    for header in ("X-Forwarded-For $remote_addr", "X-Forwarded-Proto $client_scheme", "X-Forwarded-Host $client_host"):
        assert f"proxy_set_header {header};" in configuration


def test_clicks_start_without_clickhouse() -> None:
    def needed(name: str) -> set[str]:
        direct = SERVICES[name].get("depends_on", {})
        return set(direct).union(*(needed(one) for one in direct))

    assert needed("nginx") == {"ingest", "migrate", "postgres", "redis"}


def test_redis_does_nothing_for_whoever_has_no_password(tmp_path: Path) -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--aclfile") + 1] == "/run/secrets/redis_users"
    script = _secrets_script(tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = _secrets(tmp_path)
    anybody, tallybook = made["redis_users.acl"].splitlines()
    assert anybody == "user default on nopass resetkeys resetchannels -@all +ping"
    digest = hashlib.sha256(made["redis_password"].encode()).hexdigest()
    assert tallybook == f"user tallybook on #{digest} ~* &* +@all"
    assert made["redis_password"] not in made["redis_users.acl"]


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
    # A rewrite of the append-only file forks.
    limit = SERVICES["redis"]["mem_limit"]
    assert limit.startswith("${REDIS_MEM_LIMIT:-")
    assert int(_substituted(limit).removesuffix("m")) << 20 >= 2 * Settings().redis_memory_bytes


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
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["aggregator"]["depends_on"]["clickhouse"]["condition"] == "service_healthy"
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
    assert number["worker_processes"][0] * number["worker_connections"][0] // 2 <= listener.CONNECTIONS
    to_clients_s, to_service_s = number["keepalive_timeout"]
    assert to_service_s < listener._IDLE_S < to_clients_s
    assert to_service_s * 1000 < worker.HEADER_TIMEOUT_MS < to_clients_s * 1000
    limits = re.findall(r"client_max_body_size (\w+);", configuration)
    assert limits[:3] == [
        f"{Settings().body_max_bytes >> 10}k",
        f"{clicks.BODY_MAX >> 20}m",
        f"{events.BODY_MAX >> 20}m",
    ]


def test_the_secrets_are_made_where_compose_looks_for_them(tmp_path: Path) -> None:
    script = _secrets_script(tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = _secrets(tmp_path)
    # These are in no container by themselves: each is in another file, in its place or as a hash.
    held_back = {f"{name}_password" for name in ("clickhouse", "postgres_owner", "postgres_service", "redis")}
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == set(made) - held_back
    assert made["postgres_owner_password"] in made["database_url"]
    assert made["postgres_service_password"] in made["database_service_url"]
    for role in ("owner", "service", "dashboard"):
        assert f"PASSWORD '{made[f'postgres_{role}_password']}'" in made["postgres_roles.sql"]
    assert made["clickhouse_password"] in made["clickhouse_url"]
    digest = hashlib.sha256(made["clickhouse_password"].encode()).hexdigest()
    assert f"<tallybook><password_sha256_hex>{digest}</password_sha256_hex>" in made["clickhouse_users.xml"]
    passwords = [text for name, text in made.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords) == 8
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert _secrets(tmp_path) == made


def test_secrets_of_a_former_version_go_on_opening_its_volumes(tmp_path: Path) -> None:
    """Its Postgres has one role, the owner, and one password."""
    script = _secrets_script(tmp_path)
    former = {"postgres_password": "of-old", "database_url": "postgresql://tallybook:of-old@postgres:5432/tallybook"}
    for name, text in former.items():
        (tmp_path / "secrets" / name).write_text(text)
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = _secrets(tmp_path)
    assert made.items() > former.items()
    assert "ALTER ROLE tallybook LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'of-old';" in made["postgres_roles.sql"]
    assert len({made[f"postgres_{role}_password"] for role in ("owner", "service", "dashboard")}) == 3


@pytest.mark.parametrize("superuser", ["postgres", "tallybook"])
def test_the_roles_are_made_by_the_superuser_that_there_is(tmp_path: Path, superuser: str) -> None:
    psql = tmp_path / "psql"
    psql.write_text(
        f"#!/bin/sh\necho $* >> {tmp_path}/asked\ncase $* in *'--username {superuser} '*) ;; *) exit 2 ;; esac\n"
    )
    psql.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["sh", ROOT / "deploy/postgres/roles.sh"], env=environ, check=True, capture_output=True)
    last = (tmp_path / "asked").read_text().splitlines()[-1]
    assert f"--username {superuser} --dbname postgres -f /run/secrets/postgres_roles" in last


def test_s2_secrets_in_a_clone_are_closed_to_other_users_of_the_host(tmp_path: Path) -> None:
    script = _secrets_script(tmp_path)
    # As git makes it: the folder is tracked, and so is there before the script runs.
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o755
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "secrets").chmod(0o755)  # as a former version left it
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def _secrets_script(folder: Path) -> Path:
    """The script of a fresh clone of `deploy`."""
    script = folder / "secrets.sh"
    script.write_text((ROOT / "deploy/secrets.sh").read_text())
    (folder / "secrets").mkdir(mode=0o755)
    (folder / "secrets").chmod(0o755)
    (folder / "secrets/.gitignore").write_text((ROOT / "deploy/secrets/.gitignore").read_text())
    return script


def _secrets(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir() if path.name != ".gitignore"}


def _substituted(value: str) -> str:
    """The value with the default of each `${NAME:-default}`."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(("answer", "code"), [(200, 0), (204, 0), (404, 1), (503, 1), (None, 1)])
def test_the_health_check_believes_only_2xx(answer: int | None, code: int, version: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-IS", ROOT / "deploy/healthcheck.py", str(port), "/health"]
        process = subprocess.Popen(command)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /health HTTP/1.1\r\n")
            if answer is not None:
                connection.sendall(b"HTTP/%s %d x\r\nContent-Length: 0\r\n\r\n" % (version, answer))
    assert process.wait(timeout=10) == code


def test_the_health_check_loads_nothing_but_a_bare_python() -> None:
    """It runs every few seconds in each container."""
    bare, checking = (
        subprocess.run([sys.executable, "-ISX", "importtime", *more], capture_output=True, text=True, check=False)
        for more in (["-c", ""], [ROOT / "deploy/healthcheck.py", "1", "/"])
    )
    assert checking.returncode == 1
    loaded = [set(re.findall(r"\| +(\S+)$", one.stderr, re.MULTILINE)) for one in (bare, checking)]
    assert loaded[1] - loaded[0] <= {"_socket", "__future__"}
    assert SERVICES["ingest"]["healthcheck"]["test"][:3] == ["CMD", "python", "-IS"]
    assert '"python", "-IS"' in DOCKERFILE


def test_l3_all_buffers_of_nginx_fit_into_its_container() -> None:
    """However many clients are slow, and whatever they send or do not read."""
    configuration = (ROOT / "deploy/nginx/nginx.conf").read_text()

    def size(text: str) -> int:
        return int(text[:-1]) << {"k": 10, "m": 20}[text[-1]]

    def numbers(pattern: str) -> list[str]:
        return re.findall(rf"^ *{pattern};", configuration, re.MULTILINE)

    def one(pattern: str) -> str:
        found = set(numbers(pattern))
        assert len(found) == 1, (pattern, found)
        return found.pop()

    connections = int(one(r"worker_processes (\d+)")) * int(one(r"worker_connections (\d+)"))
    requests = int(one(r"limit_conn requests (\d+)"))
    count, long = re.findall(r"large_client_header_buffers (\d+) (\w+);", configuration)[0]
    headers = size(one(r"client_header_buffer_size (\w+)")) + int(count) * size(long)
    buffers, each = re.findall(r"proxy_buffers (\d+) (\w+);", configuration)[0]
    answer = size(one(r"proxy_buffer_size (\w+)")) + int(buffers) * size(each)
    assert "proxy_max_temp_file_size 0;" in configuration  # /tmp is memory as well
    http, bulk, events = numbers(r"client_body_buffer_size (\w+)")
    limits = numbers(r"client_max_body_size (\w+)")
    assert [http, bulk, events] == limits[:3]
    #: What nginx keeps of a connection, and of a request with its upstream, beside buffers, at most (a pool has 4 KB).
    own = 1 << 10, 8 << 10
    count, each = re.findall(r"gzip_buffers (\d+) (\w+);", configuration)[0]
    packer = (264 << 10) + int(count) * size(each)  # zlib's own state for a window of 32 KB, as nginx allots it
    slots = int(one(r"limit_conn bulk (\d+)")), int(one(r"limit_conn uploads (\d+)"))
    most = (
        connections * (headers + own[0])
        + requests * (size(http) + answer + packer + own[1])
        + slots[0] * size(bulk)
        + slots[1] * size(events)
        + (16 << 20)  # two processes, and what they share
    )
    assert most <= size(SERVICES["nginx"]["mem_limit"])
    assert SERVICES["tls"]["mem_limit"] == SERVICES["nginx"]["mem_limit"]
    # Every place where a body may be large limits the number of bodies, of all and of a client.
    for place in re.findall(r"^        location [^{]*\{([^}]*)\}", configuration, re.MULTILINE):
        if (
            "client_max_body_size" in place and "internal;" not in place
        ):  # within a request that has passed one of these
            assert {"requests", "requests_of_client"} < set(re.findall(r"limit_conn (\w+) \d+;", place))
            assert len(re.findall(r"limit_conn (?:bulk|uploads)(?:_of_client)? \d+;", place)) == 2


def test_the_image_installs_what_the_project_pins_and_no_more() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text()
        parts = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        return {part.split("==")[0]: "".join(sorted(re.findall(r"==\S+|sha256:\w+", part))) for part in parts}

    all_of, image, build = map(pins, ("requirements.txt", "deploy/requirements.txt", "deploy/requirements-build.txt"))
    assert image.items() <= all_of.items()
    assert build.items() <= all_of.items()
    assert not {"chdb", "numpy", "pandas", "pip", "setuptools", "hatchling", "trove-classifiers"} & set(image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in ("kafka", "jwt", "sentry") for one in project["optional-dependencies"][extra]),
    ]
    assert {re.match(r"[a-z0-9-]+", one)[0] for one in wanted} - {"tallybook-sdk"} <= set(image)  # type: ignore[index]
