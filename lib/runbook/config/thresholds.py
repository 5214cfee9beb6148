"""The thresholds of checks: `thresholds` of params/<environment>.yaml."""

from typing import Self

from pydantic import model_validator

from runbook.model.strict import Count, Part


class RunsLimit(Part):
    """Successful runs today: ok from `ok_from`, alert at `alert_at` or fewer, otherwise warn."""

    ok_from: Count
    alert_at: Count


class ErrorsLimit(Part):
    """Errors in 24 h: ok below `ok_below`, alert above `alert_above`, otherwise warn."""

    ok_below: Count
    alert_above: Count


class ScoresLimit(Part):
    """Age of the newest score in days: 0 is ok, up to `warn_days` is warn, older is alert."""

    warn_days: Count


class Thresholds(Part):
    """The guide's table "What to Check"."""

    etl_runs: RunsLimit
    errors: ErrorsLimit
    scores: ScoresLimit

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.etl_runs.alert_at >= self.etl_runs.ok_from:
            raise ValueError("etl_runs: alert_at must be below ok_from")
        if self.errors.ok_below > self.errors.alert_above:
            raise ValueError("errors: ok_below must not be above alert_above")
        return self
