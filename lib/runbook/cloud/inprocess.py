"""The embedded sandbox as a `requests` transport: a WSGI app called in this process, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse


class InProcess(BaseAdapter):
    """Send every request to `app`; a connection that the app drops is a `requests.ConnectionError`, as on a wire."""

    def __init__(self, app: Callable[..., Any]):
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        head: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> None:
            head.update(status=status, headers=headers)

        try:
            body = b"".join(self.app(_environ(request), start_response))
        except ConnectionError as error:
            raise requests.ConnectionError(str(error), request=request) from error
        code, _, reason = head["status"].partition(" ")
        raw = HTTPResponse(
            BytesIO(body), headers=head["headers"], status=int(code), reason=reason, preload_content=False
        )
        response = requests.adapters.HTTPAdapter().build_response(request, raw)
        response.headers.update(dict(head["headers"]))
        return response

    def close(self) -> None:
        """Nothing is held open."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    url = urlsplit(request.url or "")
    data = request.body or b""
    if not isinstance(data, str | bytes):
        data = data.read()
    data = data.encode() if isinstance(data, str) else data
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port or 443),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": BytesIO(data),
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else value
        if key == "CONTENT_TYPE":
            environ[key] = text
        elif key != "CONTENT_LENGTH":
            environ[f"HTTP_{key}"] = text
    environ.setdefault("HTTP_HOST", url.netloc)
    return environ
