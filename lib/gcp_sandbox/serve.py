"""The sandbox on loopback, for callers in other processes: bq, gcloud, curl, Jupyter and the runbook library.

The library connects here but keeps the real hostname in its Host header; the CLIs send Host 127.0.0.1:PORT, and the
path selects the API.
"""

from __future__ import annotations

import json
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from gcp_sandbox.app import App
from gcp_sandbox.wire import stamp

_OVERRIDES = ("bigquery", "cloudfunctions", "logging", "secretmanager", "cloudscheduler", "cloudresourcemanager")


class Served:
    """A sandbox that listens on 127.0.0.1 until it is closed: `with serve(app) as served: … served.url`.

    In the main thread SIGTERM ends it like Ctrl-C, because background processes of a shell ignore SIGINT.
    """

    def __init__(self, app: App, port: int = 0):
        # Bound here, because werkzeug would exit the whole process if the port is in use.
        self.socket = socket.create_server(("127.0.0.1", port))
        self.server = make_server(
            "127.0.0.1", port, _alive(app), threaded=True, request_handler=_Quiet, fd=self.socket.fileno()
        )
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.before: Any = None

    def __enter__(self) -> Served:
        self.thread.start()
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.socket.close()


def serve(app: App, port: int = 0) -> Served:
    """Create everything that is slow to create, and bind; the server starts when the result is entered.

    Port 0 uses a free port. Raises OSError if the port is in use.
    """
    sandbox = app.sandbox
    _ = sandbox.log, sandbox.functions, sandbox.jobs, sandbox.secrets, sandbox.bigquery
    return Served(app, port)


def until_stopped(server: Served, app: App, say: Callable[[str], object]) -> None:
    """Say the variables that point the CLIs to this sandbox, as lines for a shell, and serve until Ctrl-C."""
    with TemporaryDirectory(prefix="sandbox-") as folder, server as served, suppress(KeyboardInterrupt):
        for key, value in environment(served.url, app.sandbox.inventory.project, Path(folder)).items():
            say(f"export {key}={shlex.quote(value)}")
        say(f"# {app.sandbox.world.about} Paste the lines above into another terminal. Ctrl-C stops it.")
        served.thread.join()


def environment(url: str, project: str, folder: Path) -> dict[str, str]:
    """The variables that point the CLIs and the library to the sandbox at `url`; writes their files to `folder`."""
    config, token, bigqueryrc = folder / "gcloud", folder / "token", folder / "bigqueryrc"
    config.mkdir(parents=True, exist_ok=True)
    token.write_text("sandbox-token", encoding="utf-8")
    bigqueryrc.write_text(f"api = {url}\nproject_id = {project}\n", encoding="utf-8")
    return {
        "RUNBOOK_SANDBOX": url,
        "STORAGE_EMULATOR_HOST": url,  # what Google's clients of Cloud Storage ask
        "BIGQUERYRC": str(bigqueryrc),
        "CLOUDSDK_CONFIG": str(config),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}": f"{url}/" for api in (*_OVERRIDES, "storage")},
    }


def _alive(app: App) -> Callable[[dict, Callable], Iterable[bytes]]:
    """The app, and an answer to GET / that describes this sandbox."""

    def wsgi(environ: dict, start_response: Callable) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/" or environ["REQUEST_METHOD"] != "GET":
            return app(environ, start_response)
        sandbox = app.sandbox
        says: dict[str, Any] = {
            "project": sandbox.inventory.project,
            "world": sandbox.world.about,
            "now": stamp(sandbox.now, 0),
        }
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(says).encode()]

    return wsgi


class _Quiet(WSGIRequestHandler):
    # Headers and body are two writes: with Nagle's algorithm, the second waits for the acknowledgement of the first.
    disable_nagle_algorithm = True

    def log(self, *_: object) -> None:
        """Log no requests."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """Only the status: the base class would add the Date of the wall clock before the sandbox's own."""
        self.send_response_only(code, message)

    def connection_dropped(self, *_: object) -> None:
        self.close_connection = True
