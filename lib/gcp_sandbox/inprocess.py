"""The sandbox in its caller's process: an adapter for sessions of `requests`, such as those of Google's clients."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from werkzeug.test import EnvironBuilder, run_wsgi_app


class InProcess(HTTPAdapter):
    """The transport to an app in this process, a WSGI app that is called without a socket. If it drops the connection,
    raises `requests.ConnectionError`."""

    def __init__(self, app: Callable[..., Any]):
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        url = urlsplit(str(request.url))
        given = {"method": request.method, "headers": list(request.headers.items()), "data": request.body}
        base = f"{url.scheme}://{url.netloc}"
        environ = EnvironBuilder(path=url.path, base_url=base, query_string=url.query, **given).get_environ()
        try:
            parts, status, headers = run_wsgi_app(self.app, environ)
            body = b"".join(parts)
        except ConnectionError as error:
            raise requests.ConnectionError(str(error), request=request) from error
        code, _, reason = status.partition(" ")
        raw = HTTPResponse(BytesIO(body), headers=headers, status=int(code), reason=reason, preload_content=False)
        return self.build_response(request, raw)
