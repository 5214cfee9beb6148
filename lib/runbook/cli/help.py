"""The help of `runbook run`: with the name of a runbook, also its parameters."""

from typing import Any

import click


class RunHelp(click.Command):
    """A command whose help ends with the parameters of the runbook that its words name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = list(args)  # --help is handled before the name is
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: Any) -> None:
        from runbook.config.load import RUNBOOKS
        from runbook.config.parameters import declared_parameters

        known = {path.stem: path for path in RUNBOOKS.glob("*.ipynb")}
        for name in [word for word in ctx.meta.get("words", ()) if word in known][:1]:
            with formatter.section(f"Parameters of {name} (-p NAME=VALUE)"):
                formatter.write_dl([(one.name, one.comment) for one in declared_parameters(known[name]).values()])
