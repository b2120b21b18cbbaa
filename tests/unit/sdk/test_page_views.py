"""Page views of frameworks: one event after each answer of a user, and nothing of anybody who does not want it."""

from typing import Any

import django.conf
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tallybook_sdk import asgi, wsgi
from tallybook_sdk.testing import Tally

HEADERS = {"referer": "https://www.example.org/secret?token=1", "x-user": "u-17"}


def wanted(event: dict[str, Any], **properties: Any) -> bool:
    """Whether an event is the page view of the user, with these properties and a duration."""
    found = dict(event["properties"])
    assert isinstance(found.pop("ms"), int)
    return bool((event["user_id"], event["event_type"], found) == ("u-17", "page_view", properties))


def test_an_asgi_application() -> None:
    async def order(request: Request) -> PlainTextResponse:
        if request.path_params["id"] == "0":
            raise ZeroDivisionError
        return PlainTextResponse("", 404)

    tally = Tally()
    app: Any = Starlette(routes=[Route("/orders/{id}", order)])
    app = asgi.PageViews(app, tally, user=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode() or None)
    with TestClient(app, raise_server_exceptions=False) as http:
        http.get("/orders/4711?card=4711", headers=HEADERS)
        http.get("/orders/0", headers=HEADERS)
        http.get("/orders/1")
        http.get("/orders/1", headers=HEADERS | {"sec-gpc": "1"})
    first, second = tally.events
    assert wanted(first, status=404, referrer="www.example.org", route="/orders/{id}")
    assert wanted(second, status=500, referrer="www.example.org", route="/orders/{id}")
    assert "4711" not in str(tally.events)


def test_a_wsgi_application() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Any:
            return iter([b"hello"])

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/broken":
            raise ZeroDivisionError
        start_response("201 Created", [])
        return Body()

    tally = Tally()
    page_views = wsgi.PageViews(app, tally, user=lambda environ: environ.get("REMOTE_USER"), route=lambda _: "/made")
    environ = {"PATH_INFO": "/", "REMOTE_USER": "u-17", "HTTP_REFERER": "//[broken"}
    for more in ({}, {"HTTP_SEC_GPC": "1"}, {"REMOTE_USER": None}):
        body: Any = page_views({**environ, **more}, lambda *_: None)
        assert list(body) == [b"hello"]
        body.close()
    with pytest.raises(ZeroDivisionError):
        page_views({**environ, "PATH_INFO": "/broken"}, lambda *_: None)
    assert len(closed) == 3
    first, second = tally.events
    assert wanted(first, status=201, route="/made")
    assert wanted(second, status=500, route="/made")


async def test_a_django_project() -> None:
    if not django.conf.settings.configured:
        django.conf.settings.configure(ALLOWED_HOSTS=["*"])
    from django.http import HttpRequest, HttpResponse

    from tallybook_sdk.django import PageViews

    class Match:
        route = "orders/<int:id>"

    def made() -> HttpRequest:
        request = HttpRequest()
        request.META |= {"HTTP_X_USER": "u-17", "HTTP_REFERER": "https://www.example.org/a"}
        request.resolver_match = Match()
        return request

    async def answer(_: HttpRequest) -> HttpResponse:
        return HttpResponse(status=202)

    tally = Tally()
    middleware = PageViews.of(tally, user=lambda request: request.headers.get("x-user"))
    assert middleware(lambda _: HttpResponse(status=200))(made()).status_code == 200
    assert (await middleware(answer)(made())).status_code == 202
    first, second = tally.events
    assert wanted(first, status=200, route="orders/<int:id>", referrer="www.example.org")
    assert wanted(second, status=202, route="orders/<int:id>", referrer="www.example.org")
