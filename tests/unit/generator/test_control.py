"""The control endpoint: what may be changed is, what may not is refused in the one form of errors."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from generator.control import Controlled, Endpoint
from generator.traffic.profile import Profile
from shared.telemetry.metrics import GENERATOR_QUEUE
from tests.harness.http import request

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}


class Asked:
    """A run that only remembers what is wanted of it, behind a real endpoint."""

    def __init__(self) -> None:
        self.profile = Profile()
        self.endpoint = Endpoint("127.0.0.1", 0, Controlled(lambda: self.profile, self.want, lambda: {"made": 7}))

    def want(self, profile: Profile) -> None:
        self.profile = profile

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any, str]:
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = request(self.endpoint.port, path, method, sent, fields)
        media = answer.headers["content-type"]
        return answer.status, answer.json() if "json" in media else answer.text, media

    def patch(self, body: object, **headers: str) -> tuple[int, Any, str]:
        return self.ask("PATCH", "/control", body, **({"Content_Type": "application/json"} | headers))


@pytest.fixture
def asked() -> Iterator[Asked]:
    one = Asked()
    yield one
    one.endpoint.close()


def test_profile_and_status_can_be_read(asked: Asked) -> None:
    status, told, _ = asked.ask("GET", "/control")
    assert status == 200
    assert told["profile"]["mode"] == "regular"
    assert told["profile"]["bounce_ratio"] == 0.1
    assert told["status"] == {"made": 7}


def test_mode_rates_and_ratios_can_be_changed(asked: Asked) -> None:
    status, told, _ = asked.patch({"mode": "bursts", "burst_low": 200, "faulty_ratio": 0.2})
    assert status == 200
    assert (told["profile"]["mode"], told["profile"]["faulty_ratio"]) == ("bursts", 0.2)
    assert asked.profile == Profile(mode="bursts", burst_low=200, faulty_ratio=0.2)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"faulty_ratio": 2}, 422, "invalid"),
        ({"mode": "fast"}, 422, "invalid"),
        ({"nothing": 1}, 422, "invalid"),
        ([1], 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"[" * 10_000, 400, "malformed"),
        (b" " * 20_000, 413, "too_large"),
    ],
)
def test_what_cannot_be_used_changes_nothing(asked: Asked, body: object, status: int, code: str) -> None:
    answer = asked.patch(body)
    assert (answer[0], answer[1]["code"], answer[2]) == (status, code, PROBLEM)
    assert asked.profile == Profile()


def test_a_refusal_points_at_the_field(asked: Asked) -> None:
    assert asked.patch({"burst_low": 0})[1]["errors"][0]["pointer"] == "/burst_low"


def test_other_media_methods_and_addresses_are_refused(asked: Asked) -> None:
    assert asked.patch({"mode": "night"}, Content_Type="text/plain")[0] == 415
    assert asked.ask("DELETE", "/control")[1]["code"] == "method_not_allowed"
    assert asked.ask("PATCH", "/metrics")[0] == 405
    assert asked.ask("GET", "/")[1]["code"] == "not_found"
    assert asked.profile == Profile()


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND", "get"])
@pytest.mark.parametrize(("path", "allowed"), [("/control", "GET, PATCH"), ("/metrics", "GET")])
def test_every_other_method_is_told_which_there_are(asked: Asked, method: str, path: str, allowed: str) -> None:
    answer = request(asked.endpoint.port, path, method)
    assert (answer.status, answer.headers["content-type"], answer.headers["allow"]) == (405, PROBLEM, allowed)
    assert answer.body == b"" if method == "HEAD" else answer.json()["code"] == "method_not_allowed"
    assert int(answer.headers["content-length"]) > 0


def test_o7_pages_in_a_browser_cannot_use_it(asked: Asked) -> None:
    assert asked.patch({"mode": "max"}, Origin="https://example.org")[0] == 400
    assert asked.patch({"mode": "max"}, Host="rebound.example.org")[0] == 400
    assert asked.ask("GET", "/control", Host="rebound.example.org:80")[0] == 400
    assert asked.profile == Profile()
    assert asked.ask("GET", "/control", Host="localhost:1")[0] == 200
    assert asked.ask("GET", "/control", Host="[::1]:1")[0] == 200


def test_metrics_are_those_of_the_generator(asked: Asked) -> None:
    GENERATOR_QUEUE.set(3)
    status, text, media = asked.ask("GET", "/metrics")
    assert status == 200
    assert media.startswith("text/plain")
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names
    assert all(name.startswith("tallybook_generator_") for name in names)
    assert "tallybook_generator_queue_messages 3.0" in text
