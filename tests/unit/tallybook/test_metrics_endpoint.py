"""The Prometheus endpoint: one path, one method, and nothing that lies in the folder breaks it."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tallybook.metrics.endpoint import Endpoint, prepare
from tests.harness.http import request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path / "metrics")
    return tmp_path / "metrics"


@pytest.fixture
def endpoint(folder: Path, tmp_path: Path) -> Iterator[Endpoint]:
    running = Endpoint("127.0.0.1", 0, folder, tmp_path / "lanes")
    yield running
    running.close()


def ask(endpoint: Endpoint, method: str = "GET", path: str = "/metrics") -> tuple[int, Mapping[str, str], str]:
    """(status, headers, body) of one request."""
    answer = request(endpoint.port, path, method)
    return answer.status, answer.headers, answer.text


def samples(endpoint: Endpoint) -> dict[str, float]:
    """name -> value of samples without labels."""
    _, _, text = ask(endpoint)
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: sample.value for sample in found if not sample.labels}


def test_metrics_are_text_that_prometheus_reads(endpoint: Endpoint) -> None:
    status, headers, text = ask(endpoint)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "tallybook_lanes 0.0" in text
    assert 'tallybook_build_info{version="' in text
    assert "process_resident_memory_bytes" in text


def test_a_query_does_not_matter(endpoint: Endpoint) -> None:
    assert ask(endpoint, path="/metrics?name=up")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/METRICS", "/health/live", "/../metrics"])
def test_any_other_path_is_404(endpoint: Endpoint, path: str) -> None:
    assert ask(endpoint, path=path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE", "BREW"])
def test_any_other_method_is_refused(endpoint: Endpoint, method: str) -> None:
    assert ask(endpoint, method)[0] == 501


def test_s1_the_server_does_not_say_which_software_answers(endpoint: Endpoint) -> None:
    assert ask(endpoint)[1]["server"].strip() == "tallybook"


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b"\xff" * 100, b"\x00" * 65_536, b"\x40\0\0\0\0\0\0\0\xff\xff\xff\x7f" + b"x" * 100]
)
def test_a_half_written_file_breaks_nothing(endpoint: Endpoint, folder: Path, content: bytes) -> None:
    (folder / "counter_ingest-0.db").write_bytes(content)
    status, _, text = ask(endpoint)
    assert status == 200
    assert "tallybook_lanes" in text


def test_files_that_cannot_be_read_are_counted(endpoint: Endpoint, folder: Path) -> None:
    (folder / "counter_ingest-0.db").write_bytes(b"\xff" * 100)
    (folder / "histogram_ingest-0.db").write_bytes(b"")
    assert samples(endpoint)["tallybook_metric_files_unreadable"] == 2


def test_a_folder_that_is_gone_breaks_nothing(endpoint: Endpoint, folder: Path) -> None:
    folder.rmdir()
    assert ask(endpoint)[0] == 200


def test_a_silent_client_holds_up_nobody(endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port)):
        assert ask(endpoint)[0] == 200


def test_a_busy_port_is_an_error(endpoint: Endpoint, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        Endpoint("127.0.0.1", endpoint.port, folder, tmp_path)


def test_close_gives_the_port_back(folder: Path, tmp_path: Path) -> None:
    first = Endpoint("127.0.0.1", 0, folder, tmp_path)
    first.close()
    second = Endpoint("127.0.0.1", first.port, folder, tmp_path)
    assert ask(second)[0] == 200
    second.close()


def test_prepare_empties_the_folder_of_what_an_earlier_run_left(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "metrics"
    prepare(folder)
    (folder / "counter_ingest-0.db").touch()
    (folder / "ingest-0.lock").touch()
    (folder / "notes.txt").touch()
    prepare(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
