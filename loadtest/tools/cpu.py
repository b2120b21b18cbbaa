"""CPU time of a tree of processes, by what they are."""

from collections.abc import Mapping

import psutil

#: Names of executables that are counted apart from the server proper.
_KINDS = {"valkey-server": "redis", "redis-server": "redis", "postgres": "postgres"}
KINDS = ("server", "redis", "postgres")


def seconds(pid: int) -> dict[str, float]:
    """User and system seconds used so far by the process and all that it started, per kind."""
    used = dict.fromkeys(KINDS, 0.0)
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            times, name = process.cpu_times(), process.name()
        except psutil.NoSuchProcess:
            continue
        # With the time of children that it has buried: a connection of Postgres may come and go between two looks.
        used[_KINDS.get(name, "server")] += times.user + times.system + times.children_user + times.children_system
    return used


def added(*parts: Mapping[str, float]) -> dict[str, float]:
    """The sum of several trees, per kind."""
    return {kind: sum(part[kind] for part in parts) for kind in KINDS}


def per_request_us(before: Mapping[str, float], after: Mapping[str, float], requests: int) -> dict[str, float]:
    """Microseconds of CPU per request between two looks, per kind and as `total`."""
    used = {kind: (after[kind] - before[kind]) * 1e6 / max(1, requests) for kind in KINDS}
    return {**used, "total": sum(used.values())}
