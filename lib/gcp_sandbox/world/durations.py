"""Durations of a world file: a number and s, m, h or d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: object) -> timedelta:
    """Read "90s", "40m", "26h" or "2d"; a timedelta is returned unchanged."""
    if isinstance(text, timedelta):
        return text
    if not (match := re.fullmatch(r"(\d+)([smhd])", str(text))):
        raise ValueError(f"{text!r} is not a duration such as 40m, 26h or 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Ago = Annotated[timedelta, BeforeValidator(duration)]
