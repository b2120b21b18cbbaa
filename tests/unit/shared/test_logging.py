"""Log lines: one form for all, one line per event, and no secrets, whatever stands in a field.

How to test what is logged: `with structlog.testing.capture_logs() as lines:` around the code, then look at
`lines[0]["event"]` and the other fields. It works whether or not logging is configured, and with loggers of modules.
"""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.types import FilteringBoundLogger

from shared.settings import Settings
from shared.telemetry.logging import configure

ROOT = Path(__file__).parents[3]
#: What a client could send to forge a line, to move the cursor or to turn text around.
HOSTILE = 'a\r\n{"event":"forged"}\x1b[2J\x9b31m\u2028\u2029\x85\x00\x7f\u202e end'


class Output:
    """A file that lines go to."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        self.stream = io.TextIOWrapper(self.bytes, encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self.bytes.getvalue().decode()

    def json(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.bytes.getvalue().splitlines()]


@pytest.fixture
def output() -> Iterator[Output]:
    """Logging as it was is restored after the test."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    made = Output()
    yield made
    root.handlers, root.level = before, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(params=["json", "console"])
def either(request: pytest.FixtureRequest, output: Output) -> Output:
    """Both forms, one after the other."""
    configure(Settings(log_format=request.param), "ingest", output.stream)
    return output


@pytest.fixture
def as_json(output: Output) -> Output:
    configure(Settings(log_format="json"), "ingest", output.stream)
    return output


def logger() -> FilteringBoundLogger:
    log: FilteringBoundLogger = structlog.get_logger()
    return log


# -- form --------------------------------------------------------------------------------------------------------------


def test_a_line_has_time_event_level_and_process(as_json: Output) -> None:
    logger().info("minute_closed", banners=3)
    (line,) = as_json.json()
    assert line.pop("timestamp", "").endswith("Z")  # type: ignore[attr-defined]
    assert line == {"event": "minute_closed", "banners": 3, "level": "info", "process": "ingest"}


def test_lines_below_the_level_are_left_out(output: Output) -> None:
    configure(Settings(log_format="json", log_level="warning"), "ingest", output.stream)
    logger().info("quiet")
    logging.getLogger("somebody").info("quiet too")
    logger().warning("heard")
    assert [line["event"] for line in output.json()] == ["heard"]


def test_what_is_not_a_terminal_gets_json(output: Output) -> None:
    configure(Settings(), "aggregator", output.stream)
    logger().info("started")
    assert output.json()[0]["process"] == "aggregator"


def test_context_of_a_request_stands_in_its_lines(as_json: Output) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logger().info("answered")
    assert as_json.json()[0]["request_id"] == "r-1"


def test_lines_of_libraries_have_the_same_form(as_json: Output) -> None:
    logging.getLogger("_granian").warning("Unexpected exit from worker-%d", 1)
    (line,) = as_json.json()
    assert (line["event"], line["level"], line["process"]) == ("library_message", "warning", "ingest")
    assert (line["logger"], line["message"]) == ("_granian", "Unexpected exit from worker-1")


def test_warnings_of_python_are_lines_too(as_json: Output) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("deprecated", UserWarning, stacklevel=1)
    logging.captureWarnings(False)
    assert "deprecated" in str(as_json.json()[0]["message"])


def test_a_record_that_cannot_be_formatted_does_not_raise(as_json: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("somebody").error("%d", "no number")
    assert as_json.text() == ""


def test_configuring_twice_does_not_double_the_lines_of_libraries(output: Output) -> None:
    for _ in range(2):
        configure(Settings(log_format="json"), "ingest", output.stream)
    logging.getLogger("somebody").error("once")
    assert len(output.json()) == 1


def test_granian_s_own_set_up_leaves_the_bridge_in_place(as_json: Output) -> None:
    config = pytest.importorskip("granian.log")
    config.configure_logging(
        config.LogLevels.info, {"loggers": {"_granian": {"level": "INFO", "propagate": True, "handlers": []}}}
    )
    logging.getLogger("_granian").info("Starting granian")
    assert as_json.json()[0]["message"] == "Starting granian"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Path("/x"), "PosixPath('/x')"), ({1: "a"}, {"1": "a"}), ((1, 2), [1, 2]), (float("nan"), None), (2**70, 2**70)],
)
def test_any_value_can_be_a_field(as_json: Output, value: object, shown: object) -> None:
    logger().info("odd", value=value)
    assert as_json.json()[0]["value"] == shown


def test_lone_surrogates_do_not_cost_the_line(as_json: Output) -> None:
    logger().info("odd", name="\ud800")
    (line,) = as_json.json()
    assert (line["event"], line["name"]) == ("odd", "\ud800")


def test_loggers_outlive_a_stderr_that_was_captured_and_closed(
    output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captured = Output()
    log = structlog.get_logger()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", captured.stream)
        configure(Settings(log_format="json"), "ingest")
        log.info("first")
    captured.stream.close()
    log.info("second")
    assert json.loads(capsys.readouterr().err)["event"] == "second"


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed")])
def test_a_line_that_cannot_be_written_stops_nobody(
    as_json: Output, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    for name in ("write", "flush"):
        monkeypatch.setattr(as_json.stream, name, refuse)
    logger().error("lost")
    logging.getLogger("somebody").error("lost too")


def test_a_terminal_gets_colours_and_no_json(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.stream, "isatty", lambda: True)
    configure(Settings(), "ingest", output.stream)
    logger().info("started", port=8080)
    assert "\x1b[" in output.text()
    assert "started" in output.text()


# -- O8 ----------------------------------------------------------------------------------------------------------------


def test_o8_hostile_text_stays_on_its_line(either: Output) -> None:
    logger().info("refused", agent=HOSTILE)
    text = either.text()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1  # which also splits at U+0085, U+2028 and U+2029
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text.rstrip("\n"))
    assert "\u202e" not in text


def test_o8_json_gives_hostile_text_back_unchanged(as_json: Output) -> None:
    logger().info("refused", agent=HOSTILE, inner={"deep": [HOSTILE]})
    (line,) = as_json.json()
    assert line["event"] == "refused"
    assert line["agent"] == HOSTILE
    assert line["inner"] == {"deep": [HOSTILE]}


def test_o8_hostile_text_in_lines_of_libraries_and_in_names_of_fields(either: Output) -> None:
    logging.getLogger("some\nbody").error("text %s", HOSTILE)
    logger().info("refused", **{"na\nme\x1b": 1})
    assert len(either.text().splitlines()) == 2
    assert "\x1b" not in either.text()


def test_o8_hostile_text_in_an_exception(either: Output) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger().exception("broke")
    assert "\x1b" not in either.text()
    assert "\u2028" not in either.text()
    assert not any(line.startswith('{"event":"forged"}') for line in either.text().splitlines())


def test_o8_json_exceptions_are_one_line(as_json: Output) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger().exception("broke")
    (line,) = as_json.json()
    assert line["exception"][0]["exc_type"] == "ValueError"  # type: ignore[index]


# -- A2 ----------------------------------------------------------------------------------------------------------------

URLS = [
    "redis://:hunter2@cache:6379/0",
    "postgresql://tally:hunter2@db/tallybook?sslmode=require",
    "cannot reach postgresql://tally:hunter2@db/x: refused (was redis://a:hunter2@b)",
    "unix:///run/redis.sock?password=hunter2&db=0",
    "redis://tally:hunter2@[::1]:6379",
    "redis://tally:p@hunter2@host/0",
    "redis+cluster://:hunter2@one:6379,two:6379",
    "redis://:s/e,c?hunter2#@h",
]


@pytest.mark.parametrize("url", URLS)
def test_a2_passwords_of_urls_are_masked(either: Output, url: str) -> None:
    logger().info("connecting", url=url, deep={"list": [url]}, error=ConnectionError(url))
    logging.getLogger("redis").error("to %s", url)
    try:
        raise ConnectionError(url)
    except ConnectionError:
        logger().exception("refused")
    assert "hunter2" not in either.text()
    assert "***" in either.text()


@pytest.mark.parametrize(
    "name", ["authorization", "Authorization", "x-api-key", "cookie", "password", "token", "secret"]
)
def test_a2_fields_that_are_secrets_by_name_are_masked(either: Output, name: str) -> None:
    logger().info("asked", **{name: "Bearer hunter2"}, headers={name: "Bearer hunter2"})
    assert "hunter2" not in either.text()


def test_a2_tracebacks_carry_no_local_variables(either: Output) -> None:
    def connect() -> None:
        key = "-".join(["hunter", "two"])
        raise ConnectionError(f"refused after {len(key)} letters")

    try:
        connect()
    except ConnectionError:
        logger().exception("refused")
    assert "hunter-two" not in either.text()


def test_urls_without_password_stay_as_they_are(as_json: Output) -> None:
    logger().info("asked", url="http://tally@host:8080/stats?tsFrom=1", time="12:30:00@x")
    assert as_json.json()[0]["url"] == "http://tally@host:8080/stats?tsFrom=1"
    assert as_json.json()[0]["time"] == "12:30:00@x"


# -- tests of others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_configured", [False, True])
def test_capture_logs_sees_lines_of_module_loggers(output: Output, is_configured: bool) -> None:
    log = structlog.get_logger()
    if is_configured:
        configure(Settings(log_format="json"), "ingest", output.stream)
        log.info("cached_now")
    with capture_logs() as lines:
        log.info("captured", minute=7)
    assert lines == [{"event": "captured", "minute": 7, "log_level": "info"}]


def test_a_real_process_writes_to_stderr_and_nothing_to_stdout() -> None:
    code = (
        "import structlog\n"
        "from shared.telemetry.logging import configure\n"
        "from shared.settings import Settings\n"
        "log = structlog.get_logger()\n"
        "configure(Settings(), 'ingest')\n"
        "log.info('started')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b""
    assert json.loads(done.stderr)["event"] == "started"
