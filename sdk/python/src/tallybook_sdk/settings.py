"""Where the service is and which key opens it: arguments first, then the environment."""

import logging
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tallybook_sdk.errors import NotConfigured

#: One number with the service and `pyproject.toml`; a test compares them.
VERSION = "0.1.0"

URL, KEY, KEY_FILE, SPOOL = "TALLYBOOK_URL", "TALLYBOOK_API_KEY", "TALLYBOOK_API_KEY_FILE", "TALLYBOOK_SPOOL_DIR"
_LOOPBACK = ("localhost", "::1")


class Address(NamedTuple):
    """The address of the service, without a slash at its end."""

    url: str
    is_loopback: bool
    is_off: bool = False
    is_secret: bool = False


def service_url(given: str | None) -> Address:
    """Return the address of the service. Raises NotConfigured."""
    url = (given or os.environ.get(URL) or "").strip().rstrip("/")
    if url == "off":
        return Address("off", True, is_off=True)
    if not url:
        raise NotConfigured(f"no URL of the service: give `url`, or set {URL}; `off` drops everything")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise NotConfigured(f"the URL of the service is none: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise NotConfigured("the URL of the service has the form https://host[:port][/path]")
    if parts.username is not None or parts.password is not None:
        raise NotConfigured(f"the URL of the service holds no login: a key goes into {KEY}")
    is_loopback = host in _LOOPBACK or host.startswith("127.")
    return Address(url, is_loopback, is_secret=parts.scheme == "https")


def spool_folder(given: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder of the spool, or None for memory alone."""
    folder = os.environ.get(SPOOL) if given is None else given
    return Path(folder).absolute() if folder else None


class Key:
    """An API key, given or read from a file that may be rotated."""

    def __init__(self, given: str | None, address: Address) -> None:
        self._given = given or os.environ.get(KEY)
        self._file = None if self._given else os.environ.get(KEY_FILE)
        self._value = self._given or ""
        self.renew()
        if self._value and not address.is_secret and not address.is_loopback:
            logging.getLogger("tallybook_sdk").warning("the API key travels over plain http to another host")

    def renew(self) -> None:
        """Read the file again. A file that cannot be read leaves the key as it was."""
        if self._file:
            try:
                self._value = Path(self._file).read_text().strip()
            except OSError as error:
                logging.getLogger("tallybook_sdk").error("%s cannot be read: %s", KEY_FILE, error.strerror)

    def header(self) -> dict[str, str]:
        """Return the header that shows the key, or nothing without one."""
        return {"authorization": f"Bearer {self._value}"} if self._value else {}

    def __repr__(self) -> str:
        return "key ***" if self._value else "no key"
