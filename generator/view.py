"""Show a run: a live table on a terminal, else a log line every few seconds."""

import time
from collections import deque
from types import TracebackType
from typing import Any

import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from generator.run import Run
from generator.traffic.kinds import KINDS

#: Seconds between two pictures, and between two log lines.
_PICTURE_S, _LINE_S = 0.25, 5.0
#: Rates that the picture shows, one a second.
_RATES = 60
_BARS = " ▁▂▃▄▅▆▇█"

log = structlog.get_logger()


class View:
    """Show a run. Use it as a context and call `tick` often."""

    def __init__(self, run: Run, console: Console) -> None:
        self._run = run
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._due = 0.0
        self._rates: deque[float] = deque([0.0] * _RATES, _RATES)
        self._rate_due = 0.0

    def __enter__(self) -> "View":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tick(self) -> None:
        """Refresh the display if it is time."""
        now = time.monotonic()
        if now >= self._rate_due:
            self._rates.append(self._run.state.per_s)
            self._rate_due = now + 1.0
        if now < self._due:
            return
        is_first, self._due = self._due == 0.0, now + (_PICTURE_S if self._live is not None else _LINE_S)
        if self._live is not None:
            self._live.update(picture(self._run, self._rates), refresh=True)
        elif not is_first:
            status = self._run.status()
            log.info("generator_progress", mode=self._run.state.profile.mode, **_flat(status))


def picture(run: Run, rates: "deque[float]") -> Table:
    """Return everything on one screen."""
    status, profile = run.status(), run.state.profile
    state = "paused" if profile.is_paused else "ending" if run.state.is_over else profile.mode
    table = Table(title=f"tallybook generate · {state}", title_justify="left", show_header=False, min_width=64)
    table.add_column(justify="right", style="bold")
    table.add_column()
    sent = sum(status["sent"].values())
    table.add_row("messages a second", f"{status['per_s']:,.1f}")
    table.add_row("last minute", Text(_sparkline(rates)))
    table.add_row("acknowledged", f"{sent:,}")
    for kind in KINDS:
        count = status["sent"].get(kind, 0)
        table.add_row(kind, f"{count:,}  {100 * count / sent:.2f} %" if sent else "0")
    table.add_row("refused or unknown", f"{status['refused_or_unknown']:,}")
    table.add_row("in flight", f"{status['in_flight']:,}")
    table.add_row("sent again", f"{status['retries']:,}")
    table.add_row("seconds", f"{status['seconds']:,.0f}")
    return table


def _sparkline(rates: "deque[float]") -> str:
    most = max(rates) or 1.0
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] for rate in rates)


def _flat(status: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a log line, without nested tables."""
    return {name: value if name != "sent" else sum(value.values()) for name, value in status.items()}
