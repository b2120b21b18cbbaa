"""The wheels of the service and of the SDK: what each holds, and that the SDK works where it is installed alone."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import msgspec
import pytest

from tests.harness.process import ROOT

#: What the wheels put beside one another into site-packages.
SERVICE = {"aggregator", "gateway", "generator", "ingest", "shared", "tallybook"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, by the name of their distribution."""
    built = {}
    for name, source in (("tallybook", ROOT), ("tallybook_sdk", ROOT / "sdk/python")):
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (built[name],) = folder.glob(f"{name}-*.whl")
    return built


@pytest.mark.parametrize(
    ("name", "packages", "needs"), [("tallybook", SERVICE, "tallybook-sdk"), ("tallybook_sdk", {"tallybook_sdk"}, "")]
)
def test_a_wheel_holds_its_packages_and_its_licence_and_no_tests(
    wheels: dict[str, Path], name: str, packages: set[str], needs: str
) -> None:
    with zipfile.ZipFile(wheels[name]) as wheel:
        files = [PurePosixPath(file) for file in wheel.namelist()]
        (metadata,) = (file for file in files if file.name == "METADATA")
        about = Parser().parsestr(wheel.read(str(metadata)).decode())
        licence = wheel.read(f"{metadata.parent}/licenses/LICENSE").decode()
    tops = {file.parts[0] for file in files}
    assert tops == packages | {str(metadata.parent)}
    assert [file for file in files if "tests" in file.parts or file.name.startswith(("test_", "conftest"))] == []
    assert licence == (ROOT / "LICENSE").read_text()
    assert about["License-Expression"] == "Apache-2.0"
    wanted = [one for one in about.get_all("Requires-Dist", []) if "extra ==" not in one]
    if needs:
        assert f"{needs}=={about['Version']}" in wanted
    else:
        assert [one.partition(">")[0] for one in wanted] == ["msgspec"]


def test_the_service_brings_every_version_of_the_script_of_pages(wheels: dict[str, Path]) -> None:
    files = {f"ingest/static/{path.name}": path for path in (ROOT / "ingest/static").glob("t.*js")}
    assert len(files) >= 2
    with zipfile.ZipFile(wheels["tallybook"]) as wheel:
        assert {name: wheel.read(name) for name in files} == {name: path.read_bytes() for name, path in files.items()}


def test_the_service_brings_its_dashboard(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["tallybook"]) as wheel:
        for file in (ROOT / "ingest/static/ui").iterdir():
            assert wheel.read(f"ingest/static/ui/{file.name}") == file.read_bytes()


def test_the_sdk_brings_its_types_its_schema_and_its_fixture(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["tallybook_sdk"]) as wheel:
        assert {"tallybook_sdk/py.typed", "tallybook_sdk/outbox/schema.sql"} <= set(wheel.namelist())
        (points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
        assert b"[pytest11]\ntallybook_sdk = tallybook_sdk.outbox.pytest_plugin" in wheel.read(points)


def test_the_library_is_installed_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    """Its wheel, with msgspec beside it and nothing of the service, publishes."""
    zipfile.ZipFile(wheels["tallybook_sdk"]).extractall(tmp_path / "installed")
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'installed')!r}, {str(Path(msgspec.__file__).parents[1])!r}]\n"
        "before = set(sys.modules)\n"
        "import tallybook_sdk.outbox as outbox\n"
        "from tallybook_sdk.outbox.event import rows_of\n"
        "assert '/installed/' in outbox.__file__\n"
        "print(rows_of((outbox.Event({'a': 1}, 'x'),))[0].event_context)\n"
        "top = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "others = {'asyncpg', 'django', 'psycopg', 'sqlalchemy', 'structlog', 'sentry_sdk', 'shared', 'redis'}\n"
        "print(sorted(top & others))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout == '{"a":1}\n[]\n', done.stderr
