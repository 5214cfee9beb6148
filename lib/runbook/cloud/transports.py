"""Transports that send requests: to Google, and to a served sandbox."""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry


def network() -> HTTPAdapter:
    """The transport to Google for reads: two retries within a second after a 429, a 5xx or no answer.

    It never waits for as long as a Retry-After header says: that may be hours.
    """
    codes = (429, 500, 502, 503, 504)
    retry = Retry(total=2, backoff_factor=0.3, status_forcelist=codes, allowed_methods=None, raise_on_status=False)
    retry.respect_retry_after_header = False
    return HTTPAdapter(pool_maxsize=32, max_retries=retry)


class Loopback(HTTPAdapter):
    """The transport to a served sandbox: it sends each request to `base`, with the real host in the Host header."""

    def __init__(self, base: str):
        super().__init__(pool_maxsize=32)
        self.base = base.rstrip("/")

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        url = urlsplit(str(request.url))
        inner = request.copy()
        inner.headers["Host"] = url.netloc
        inner.url = f"{self.base}{url.path}" + (f"?{url.query}" if url.query else "")
        return super().send(inner, **{**options, "proxies": {}})
