"""A shop that counts: run it with `gunicorn --preload -w 4 shop:app`.

    pip install tallybook-sdk flask gunicorn
    export TALLYBOOK_URL=http://127.0.0.1:8080
    export TALLYBOOK_SPOOL_DIR=/var/lib/shop/tally      # optional: what is recorded survives a kill

The client is made once, before a preloading server forks its workers. Each worker sends its own records, and what is
left when it ends in order.
"""

from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from tallybook_sdk import Client
from tallybook_sdk.wsgi import PageViews

tally = Client()
app = Flask(__name__)


@app.get("/banners/<int:banner>")
def follow(banner: int) -> Response:
    """Count a click on a banner, and lead on."""
    tally.click(banner)
    return redirect("/", 307)


@app.post("/orders")
def buy() -> dict[str, str]:
    """Record a purchase. Neither line waits for the network."""
    user = request.headers.get("x-user", "guest")
    return {"event_id": tally.event("purchase", user, {"price": float(request.args["price"])})}


@app.get("/tally")
def report() -> dict[str, object]:
    """Show where the records of this worker are."""
    now = tally.report()
    return {"recorded": now.recorded, "pending": now.pending, "difference": now.difference, "state": now.state}


# Who asks, or None for somebody who is not known. A real shop reads its session.
app.wsgi_app = PageViews(app.wsgi_app, tally, user=lambda environ: environ.get("HTTP_X_USER"))  # type: ignore[method-assign]
