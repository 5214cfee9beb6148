"""The value of a secret and the archive of a source. A secret's value must never be logged or stored.

A secret's value comes from a file, from an environment variable, or from the runner, which reads it from stdin or a
hidden prompt and passes it to the kernel through a pipe. It is read once, when it is needed, and kept only in memory.
"""

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote, quote_plus

from runbook.config.data_file import text_of
from runbook.context import KERNEL
from runbook.model.errors import Refused

FILE, NAME = "RUNBOOK_SECRET_FILE", "RUNBOOK_SECRET_ENV"
LIMIT = 64 * 1024  # bytes (https://cloud.google.com/secret-manager/quotas)


class SecretValue:
    """The secret data of one run; `source` is the folder of a function's code, "" if it is not needed."""

    def __init__(self, source: str = ""):
        self.source = source
        self._value: bytes | None = None

    def archive(self) -> bytes:
        """The deterministic zip of the source."""
        from runbook.facts.checkout.source_code import archive, folder_of

        return archive(folder_of(self.source))

    def secret(self) -> bytes:
        """The value. Raises Refused if it is missing, empty, or too large for Secret Manager."""
        value = self._value = _secret() if self._value is None else self._value
        if value is None or not value.strip():
            raise Refused(**text_of(__file__, "no_value", file=FILE, variable=NAME))
        if len(value) > LIMIT:
            raise Refused(**text_of(__file__, "too_large", size=len(value)))
        return value

    def scrub(self, text: str) -> str:
        """The text, with every encoding of the secret's value replaced: an answer may repeat the request."""
        value = self._value or b""
        parts = {value, value.strip(), *(line.strip() for line in value.splitlines())}
        forms = {form for part in parts if len(part) >= SHORT or part == value for form in _forms(part)}
        for form in sorted(forms - {""}, key=len, reverse=True):
            text = text.replace(form, "(a secret)")
        return text


SHORT = 6  # bytes; a shorter line of the value reveals nothing, and occurs in many words


def _forms(value: bytes) -> list[str]:
    """The encodings of a value in requests, answers and tracebacks."""
    plain = value.decode(errors="replace")
    quoted = [json.dumps(plain, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
    padded = [encode(value).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    encoded = [*padded, *(form.rstrip("=") for form in padded), value.hex(), value.hex().upper()]
    return [plain, repr(value)[2:-1], *quoted, quote(plain), quote(plain, safe=""), quote_plus(plain), *encoded]


def _secret() -> bytes | None:
    if KERNEL.told.secret is not None:
        return KERNEL.told.secret
    if path := os.environ.get(FILE):
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise Refused(f"{FILE} cannot be read", error.strerror or "", next="check the path and its mode.") from None
    value = os.environ.get(os.environ.get(NAME, ""))
    return value.encode() if value is not None else None
