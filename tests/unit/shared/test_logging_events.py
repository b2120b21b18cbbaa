"""Log events are stable names: literal, in snake_case, and explained in docs/logs.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/logs.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """(where, call) of every `log.<level>(...)` of the service."""
    for package in ("aggregator", "gateway", "generator", "ingest", "shared", "tallybook"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            aliases = set(_aliases(tree))
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and (_is_log(node.func) or ast.unparse(node.func) in aliases):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _aliases(tree: ast.Module) -> Iterator[str]:
    """`write` of `write = log.debug if ... else log.info`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            value = node.value
            if any(_is_log(one) for one in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])):
                yield ast.unparse(node.targets[0])


def _is_log(called: ast.expr) -> bool:
    """`log.info`, `self._log.info`, `log.bind(...).info`, but not `logging.info` of the standard library."""
    if not isinstance(called, ast.Attribute) or called.attr not in LEVELS:
        return False
    return re.match(r"(self\.)?_?log(ger)?(\.bind\(.*\))?$", ast.unparse(called.value)) is not None


def events() -> dict[str, str]:
    """event -> one place that logs it; an event may also be chosen from two literals."""
    found = {}
    for where, call in calls():
        assert call.args, f"{where} has no event"
        for literal in ast.walk(call.args[0]):
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                found[literal.value] = where
    return found


def test_the_event_of_every_line_is_a_literal() -> None:
    for where, call in calls():
        event = call.args[0]
        choices = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
        assert all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in choices), where
        assert len(call.args) == 1, f"{where}: what is not the event belongs into fields"


def test_every_event_is_snake_case() -> None:
    assert events()
    for event, where in events().items():
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", event), f"{where}: {event}"


def test_every_event_is_explained() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    missing = {event: where for event, where in events().items() if event not in documented}
    assert not missing, f"add them to docs/logs.md: {missing}"
    assert not documented - events().keys(), f"nothing logs these: {documented - events().keys()}"


def test_the_libraries_of_the_service_do_not_print() -> None:
    for package in ("aggregator", "gateway", "generator", "ingest", "shared"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            names = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert "print" not in names or path.name in {"configuration.py", "openapi.py"}, path
