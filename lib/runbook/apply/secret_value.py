"""What a change needs that may stand nowhere: the value of a secret, and the archive of a source.

A secret's value comes from a file, from an environment variable, or from the runner, which read it from stdin or a
hidden prompt and handed it to the kernel through a pipe. It is read once, when it is needed, and kept only in memory.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote, quote_plus

from runbook.context import KERNEL
from runbook.model.errors import Refused

FILE, NAME = "RUNBOOK_SECRET_FILE", "RUNBOOK_SECRET_ENV"
LIMIT = 64 * 1024  # bytes (https://cloud.google.com/secret-manager/quotas)


class SecretValue:
    """Made for one run; `source` is the folder of a function's code, "" where none is needed."""

    def __init__(self, source: str = ""):
        self.source = source
        self._value: bytes | None = None

    def archive(self) -> bytes:
        """The deterministic zip of the source."""
        from runbook.facts.source_code import archive, folder_of

        return archive(folder_of(self.source))

    def secret(self) -> bytes:
        """The value. Raises Refused when there is none, an empty one, or one that Secret Manager would not take."""
        value = self._value = _secret() if self._value is None else self._value
        if value is None or not value.strip():
            raise Refused(
                "there is no value for the new version",
                f"neither {FILE}, nor {NAME}, nor the command line gave one",
                next="runbook apply ID --secret-file PATH, or --secret-env NAME, or --secret-stdin, or at the prompt.",
            )
        if len(value) > LIMIT:
            raise Refused(
                f"the value has {len(value):,} bytes", "a version holds at most 65,536", next="check the file."
            )
        return value

    def scrub(self, text: str) -> str:
        """A text without the secret's value in any of the forms in which it travels, should an answer repeat it."""
        value = self._value or b""
        parts = {value, value.strip(), *(line.strip() for line in value.splitlines())}
        forms = {form for part in parts if len(part) >= SHORT or part == value for form in _forms(part)}
        for form in sorted(forms - {""}, key=len, reverse=True):
            text = text.replace(form, "(a secret)")
        return text


SHORT = 6  # bytes; a line of the value that is shorter says nothing of it, and stands in many words


def _forms(value: bytes) -> list[str]:
    """How a value may be written."""
    plain, encoded = value.decode(errors="replace"), base64.b64encode(value).decode()
    quoted = [json.dumps(plain, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
    urls = [quote(plain), quote(plain, safe=""), quote_plus(plain)]
    web = encoded.translate({43: "-", 47: "_"})
    return [
        plain,
        repr(value)[2:-1],
        *quoted,
        *urls,
        encoded,
        encoded.rstrip("="),
        web,
        web.rstrip("="),
        value.hex(),
        value.hex().upper(),
    ]


def _secret() -> bytes | None:
    if KERNEL.secret is not None:
        return KERNEL.secret
    if path := os.environ.get(FILE):
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise Refused(f"{FILE} cannot be read", error.strerror or "", next="check the path and its mode.") from None
    value = os.environ.get(os.environ.get(NAME, ""))
    return value.encode() if value is not None else None
