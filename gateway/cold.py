"""Choose where the embedded engine keeps cold events: a folder of any disk, or S3. Both are volumes of one storage
policy. The engine moves parts between them by the rule that `shared/events/cold_storage.py` gives the table.

    clickhouse/cold.json        in the data folder: which places the engine has ever been given
    <cold folder>/tallybook.json   the same id as there: an empty mount point or another folder is not taken for it
    clickhouse/cold_s3/         what lies where in S3; the objects alone are worth nothing without it

A place that may hold events and cannot be found ends the start. Without its parts the engine would open all the same:
the events would be missing from every answer, and their repeats would count again.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from shared.events.table import COLD, FORMER, HOT, POLICY
from shared.settings import Settings

_NOTE, _MARK = "cold.json", "tallybook.json"
#: Milliseconds in which S3 must take a connection, and answer; and how often it is asked again. A statement holds one
#: of few threads meanwhile, and others want to be answered while S3 is away.
_S3_LIMITS = {
    "connect_timeout_ms": 2000,
    "request_timeout_ms": 3000,
    "s3_retry_attempts": 1,  # without the prefix it means nothing here, and 500 is the default
    "s3_max_single_read_retries": 1,
}
#: Where the engine keeps the parts of a table within a disk.
_PARTS = "store/*/*/*_*_*_*"


class ColdError(Exception):
    """A place that may hold events is not as it was left. The message says what to do."""


class Cold(NamedTuple):
    """Hold what the engine starts with."""

    #: Its configuration; None where no event was ever to be cold.
    configuration: str | None
    #: Folders that have what `<data>/clickhouse/store` has, for the parts that are elsewhere.
    roots: tuple[Path, ...]


def is_wanted(settings: Settings, data: Path) -> bool:
    """Return True if events are cold, or were to be."""
    asked = settings.events_cold_days > 0 or settings.events_cold_s3_url is not None
    return asked or (data / "clickhouse" / _NOTE).exists()


def folder_of(settings: Settings, data: Path) -> Path:
    """Return the folder of cold events."""
    return Path(settings.events_cold_dir).absolute() if settings.events_cold_dir else data / "cold"


def prepare(settings: Settings, data: Path) -> Cold:
    """Check that every place is as it was left, and note new ones. Raises ColdError, OSError."""
    engine = data / "clickhouse"
    note = _read(engine / _NOTE)
    if not is_wanted(settings, data):
        return Cold(None, ())
    folder, objects = folder_of(settings, data), engine / "cold_s3"
    marked = _marked(folder, note.get("folder"))
    s3 = _same_s3(settings, objects, note.get("s3"))
    _write(engine / _NOTE, {"folder": marked, **({"s3": s3} if s3 else {})})
    roots = (folder, objects) if s3 else (folder,)
    return Cold(_configuration(settings, folder, engine) if s3 else _of_folder(folder), roots)


def _marked(folder: Path, noted: dict[str, str] | None) -> dict[str, str]:
    """Mark the folder as one of this installation, and return its note."""
    mark = _read(folder / _MARK).get("id")
    if noted is None or mark != noted["id"]:
        if noted is not None and not _is_left(Path(noted["path"]), noted["id"]):
            raise ColdError(
                f"{folder} is not the folder of cold events, {noted['path']} was: mount it, or move all that is in it"
            )
        if mark is not None and any(folder.glob(_PARTS)):
            raise ColdError(f"{folder} has the cold events of another data folder: name one that is empty")
        mark = mark or secrets.token_hex(8)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / _MARK, {"id": mark})
    return {"id": mark, "path": str(folder)}


def _is_left(folder: Path, identity: str) -> bool:
    """Return True if a former folder exists and holds no events."""
    return _read(folder / _MARK).get("id") == identity and not any(folder.glob(_PARTS))


def _same_s3(settings: Settings, objects: Path, noted: str | None) -> str | None:
    """Return the address in S3. It must stay the same while anything is there."""
    url = settings.events_cold_s3_url
    if noted is not None and url != noted and any(objects.glob(_PARTS)):
        raise ColdError(f"cold events are at {noted}: TALLYBOOK_EVENTS_COLD_S3_URL has to name it until they are moved")
    return url


# -- the configuration -------------------------------------------------------------------------------------------------


def _of_folder(folder: Path) -> str:
    return _xml({"cold": {"type": "local", "path": f"{folder}/"}}, {COLD: "cold"})


def _configuration(settings: Settings, folder: Path, engine: Path) -> str:
    """Return the configuration with S3. Events that an earlier folder holds are read there, and move on."""
    url = settings.events_cold_s3_url or ""
    key, _, secret = (settings.events_cold_s3_key or "").partition(":")
    credentials: dict[str, Any] = {"access_key_id": key, "secret_access_key": secret} if key else {"no_sign_request": 1}
    disks: dict[str, dict[str, Any]] = {
        "cold": {"type": "local", "path": f"{folder}/"},
        "cold_s3": {
            "type": "s3",
            "endpoint": url if urlsplit(url).path.endswith("/") else f"{url}/",
            "metadata_path": f"{engine}/cold_s3/",
            "skip_access_check": "true",  # it may be away at the start
            **credentials,
            **_S3_LIMITS,
        },
    }
    name = "cold_s3"
    if settings.events_cold_cache_bytes:
        name = "cold_cache"
        path, size = f"{engine}/cache/cold/", settings.events_cold_cache_bytes
        disks[name] = {"type": "cache", "disk": "cold_s3", "path": path, "max_size": size}
    return _xml(disks, {COLD: name, FORMER: "cold"})


def _xml(disks: dict[str, dict[str, Any]], volumes: dict[str, str]) -> str:
    made = "".join(
        f"<{disk}>{''.join(f'<{name}>{escape(str(value))}</{name}>' for name, value in fields.items())}</{disk}>"
        for disk, fields in disks.items()
    )
    # Not at the insert: late events would have to wait for the place that is slow.
    cold = "".join(
        f"<{volume}><disk>{disk}</disk><perform_ttl_move_on_insert>0</perform_ttl_move_on_insert></{volume}>"
        for volume, disk in volumes.items()
    )
    policy = (
        f"<{POLICY}><volumes><{HOT}><disk>default</disk></{HOT}>{cold}</volumes><move_factor>0</move_factor></{POLICY}>"
    )
    return (
        f"<clickhouse><storage_configuration><disks>{made}</disks><policies>{policy}</policies>"
        "</storage_configuration></clickhouse>"
    )


# -- notes -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        noted: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ColdError(f"{path} cannot be read as a note: put it back from a copy") from None
    return noted


def _write(path: Path, note: dict[str, Any]) -> None:
    """Write a file as a whole, and sync it: it must be on disk before the first event is."""
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
