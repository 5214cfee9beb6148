"""The value of a secret and the archive of a source. A secret's value must never be logged or stored.

A secret's value comes from a file, from an environment variable, or from the runner, which reads it from stdin or a
hidden prompt and passes it to the kernel through a pipe. It is read once, when it is needed, and kept only in memory.
Of a file or stdin, one line of text is taken without the line break at its end, as `$(cat file)` does.
"""

import os
from contextlib import suppress
from pathlib import Path

from runbook.config import Scan
from runbook.context import KERNEL
from runbook.data_file import text_of
from runbook.model import Refused

FILE, NAME = "RUNBOOK_SECRET_FILE", "RUNBOOK_SECRET_ENV"
LIMIT = 64 * 1024  # bytes (https://cloud.google.com/secret-manager/quotas)
SHORTEST = 8  # bytes: a shorter text stands in many words of a record, so it cannot be removed from there


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
        """The value. Raises Refused if it is missing, too short to be kept out of a record, or too large."""
        value = self._value = told_secret() if self._value is None else self._value
        if value is None or not value.strip():
            raise Refused(**text_of(__file__, "no_value", file=FILE, variable=NAME))
        if len(value) < SHORTEST:
            raise Refused(**text_of(__file__, "too_short", least=SHORTEST))
        if len(value) > LIMIT:
            raise Refused(**text_of(__file__, "too_large", size=len(value)))
        return value

    def scrub(self, text: str) -> str:
        """The text, with every encoding of the secret's value replaced: an answer may repeat the request."""
        return Scan([self._value or b""]).known(text, lambda _: "(a secret)")


def one_line_value(value: bytes) -> bytes:
    """One line of text without the line breaks at its end; several lines, and what is not text, stay as they are."""
    line = value.rstrip(b"\r\n")
    with suppress(UnicodeDecodeError):
        return value if {*"\r\n\0"} & {*line.decode()} else line
    return value


def told_secret() -> bytes | None:
    """The value that this process was told of, or that its environment names. Raises Refused for a file."""
    if KERNEL.told.secret is not None:
        return KERNEL.told.secret
    if path := os.environ.get(FILE):
        try:
            return one_line_value(Path(path).read_bytes())
        except OSError as error:
            raise Refused(f"{FILE} cannot be read", error.strerror or "", next="check the path and its mode.") from None
    value = os.environ.get(os.environ.get(NAME, ""))
    return value.encode() if value is not None else None
