"""Rows of a team's own table of codes in params: `signatures`, with the fields of incidents/codes, validated."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Self

from cronsim import CronSimError
from pydantic import AfterValidator, model_validator

from runbook.model import table
from runbook.model.strict import Count, Part, words

CAUSES = table(__file__, "values.yaml")["causes"]


def checked(read: Callable[[str], object], said: str) -> Any:
    """A text that `read` can read; `said` is the error, with {} for what `read` said."""

    def check(text: str) -> str:
        try:
            read(text)
        except (ValueError, KeyError, re.error, CronSimError) as error:
            raise ValueError(said.format(error)) from None
        return text

    return Annotated[str, AfterValidator(check)]


CauseName = checked(CAUSES.index, f"is none of the causes {', '.join(CAUSES)}")
Expression = checked(re.compile, "is not a regular expression: {}")
Status = words(r"^([45](\d\d|xx|\dx))?$")


class Signature(Part):
    """One row: a text has this cause if each condition that is given holds (lib/runbook/incidents/texts/codes.py)."""

    cause: CauseName
    code: str = ""
    http: Status = ""
    exception: str = ""
    says: Expression = ""
    platform: Expression = ""
    signal: Count = 0
    system: str = ""
    detail: str = ""
    hint: bool = False
    unconfirmed: bool = False
    final: bool = True
    source: str = ""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not any((self.code, self.http, self.exception, self.says, self.platform, self.signal)):
            raise ValueError("set at least one of code, http, exception, says, platform, signal")
        return self
