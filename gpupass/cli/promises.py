"""`gpupass promises` and `gpupass listen`."""

import click

from gpupass.cli.output import show_finding, tell
from gpupass.system import System


@click.command()
def listen() -> None:
    """Give domains what they are promised when they start, and take it back when they stop.

    gpupass-promises.service runs it, as long as anybody is promised anything.
    """
    from gpupass.app.listening import listen as keep
    from gpupass.app.report import Report
    from gpupass.app.trip import require_root

    def said(report: Report) -> None:
        tell(f"{report.ending.value}: {report.title}" + (f": {report.note}" if report.note else ""))
        for finding in report.warnings:
            show_finding("  warning: ", finding.message, finding.remedy, err=False)
        if report.error is not None and report.error.hint:
            tell(f"  hint: {report.error.hint}")

    require_root("sudo systemctl start gpupass-promises")
    keep(System, said)
