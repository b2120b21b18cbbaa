"""What the figures were measured on."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from loadtest.peers import build
from loadtest.tools.servers import cores, valkey_binary
from loadtest.tools.stack import StartError


def describe(date: str, folder: Path) -> dict[str, str | int]:
    """Processor, kernel, versions, and the file system of `folder`, where all sides keep their files.

    `date` is the day of the run, as the caller wants it published.
    """
    return {
        "date": date,
        "cpu": _cpu_model(),
        "cores": cores(),
        "kernel": platform.release(),
        "filesystem": _filesystem(folder),
        "python": platform.python_version(),
        "granian": version("granian"),
        "go": _or_missing(build.version),
        "redis": _or_missing(_redis_version),
        "wrk": _or_missing(_wrk_version),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _filesystem(folder: Path) -> str:
    """Its type: on a tmpfs an fsync costs nothing, and figures from there say so."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    resolved = folder.resolve()
    return next((mounts[place] for place in (resolved, *resolved.parents) if place in mounts), "unknown")


def _redis_version() -> str:
    words = subprocess.run([valkey_binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()
    number = next(word.removeprefix("v=") for word in words if word.startswith("v="))
    return f"{Path(valkey_binary()).name} {number}"


def _wrk_version() -> str:
    return subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout.split(" [")[0]


def _or_missing(ask: object) -> str:
    try:
        return str(ask()) if callable(ask) else "missing"
    except (OSError, StartError, build.PeerError, subprocess.SubprocessError):
        return "missing"
