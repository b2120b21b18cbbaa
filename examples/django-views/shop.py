"""A Django project in one file that counts: run it with `gunicorn --preload -w 4 shop:app`.

    pip install tallybook-sdk django gunicorn
    export TALLYBOOK_URL=http://127.0.0.1:8080
    export TALLYBOOK_SPOOL_DIR=/var/lib/shop/tally      # optional: what is recorded survives a kill

In a project of your own the three parts go into settings.py, middleware.py and views.py. Events that must agree with
the database go through the outbox: see examples/django.
"""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from tallybook_sdk import Client
from tallybook_sdk.django import PageViews

tally = Client()

# settings.py
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["shop.page_views"],
    ROOT_URLCONF="shop",
    SECRET_KEY=os.environ.get("SECRET_KEY") or os.urandom(32).hex(),
)

# middleware.py: who asks, or None for somebody who is not known. A real shop reads its session.
page_views = PageViews.of(tally, user=lambda request: request.headers.get("x-user"))


# views.py
@require_GET
def follow(request: HttpRequest, banner: int) -> HttpResponse:
    """Count a click on a banner, and lead on."""
    tally.click(banner)
    return HttpResponse(status=307, headers={"location": "/"})


@require_POST
def buy(request: HttpRequest) -> JsonResponse:
    """Record a purchase. Neither line waits for the network."""
    user = request.headers.get("x-user", "guest")
    return JsonResponse({"event_id": tally.event("purchase", user, {"price": float(request.GET["price"])})})


@require_GET
def report(request: HttpRequest) -> JsonResponse:
    """Show where the records of this worker are."""
    now = tally.report()
    return JsonResponse({"recorded": now.recorded, "difference": now.difference, "state": now.state})


urlpatterns = [path("banners/<int:banner>", follow), path("orders", buy), path("tally", report)]
app = get_wsgi_application()
