"""Reads a secret's new value from a file, an environment variable, stdin or a hidden prompt."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from runbook.model.errors import BadInput, Refused


def ask_secret(file: Path | None, variable: str | None, stdin: bool) -> bytes:
    """The value of a new version, from the given source, else from a hidden prompt. Raises BadInput, Refused."""
    if sum((file is not None, variable is not None, stdin)) > 1:
        raise BadInput("the value can have only one source", next="use only one of the --secret options.")
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            hint = "check the path and its mode."
            raise BadInput(f"{file} cannot be read", error.strerror or "", next=hint) from None
    if variable is not None:
        if variable not in os.environ:
            raise BadInput(f"there is no environment variable {variable}", next="export it, or use --secret-file.")
        return os.environ[variable].encode()
    if stdin:
        return sys.stdin.buffer.read()
    if not sys.stdin.isatty():
        why, hint = "there is no terminal for a prompt", "use --secret-file PATH, --secret-env NAME or --secret-stdin."
        raise Refused("there is no value for the new version", why, next=hint)
    return click.prompt("The new value (hidden)", hide_input=True, confirmation_prompt=True).encode()
