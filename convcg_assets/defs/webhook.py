"""An HTTP POST of JSON to an address that nobody may see: it opens what stands behind it.

No error says the address, so that it reaches neither a log nor a page.
"""

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


class NotTaken(Exception):
    """What was sent was not taken; `is_its_own` where something else may be taken still."""

    def __init__(self, why: str, *, is_its_own: bool = False) -> None:
        super().__init__(why)
        self.is_its_own = is_its_own


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without its body, and be lost with status 200."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S) -> None:
    """Send JSON; raises NotTaken, without the address, unless the answer's status is 2xx."""
    if not is_address(url):
        raise NotTaken("the address is no http:// or https:// URL with a host")
    data = json.dumps(body, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "convcg"}
    try:
        request = urllib.request.Request(url, data, headers, method="POST")
        with _opener.open(request, timeout=timeout_s):
            return
    except urllib.error.HTTPError as error:
        error.close()
        its_own = 400 <= error.code < 500 and error.code not in (401, 403, 404, 408, 410, 429)
        raise NotTaken(f"the answer was status {error.code}", is_its_own=its_own) from None
    except TimeoutError:
        raise NotTaken(f"no answer within {timeout_s:g} s") from None
    except urllib.error.URLError as error:
        raise NotTaken(_reason(error.reason, timeout_s)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # The text of some of these holds the address.
        raise NotTaken(f"no HTTP answer ({type(error).__name__})") from None


def is_address(url: str) -> bool:
    """Whether something can be sent there at all."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _reason(reason: Any, timeout_s: float) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(reason, socket.gaierror):
        return "its host is not known"
    if isinstance(reason, OSError) and reason.strerror:
        return f"no connection: {reason.strerror}"
    return f"no connection ({type(reason).__name__})"
