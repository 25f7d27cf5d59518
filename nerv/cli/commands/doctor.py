"""`nerv doctor`"""

from __future__ import annotations

import click

from nerv.cli.exits import ExitCode
from nerv.cli.session import Session


@click.command()
@click.option("--no-browser", is_flag=True, help="Do not start the browser, only look for it.")
@click.pass_obj
def doctor(session: Session, no_browser: bool) -> None:
    """Check what NERV needs on this machine; name each missing thing and its fix. Exit 2 when something is missing."""
    from nerv.cli.health import check_all

    findings = session.run(check_all(session.instance, start_browser=not no_browser))
    for finding in findings:
        if session.as_json:
            session.json_line(finding)
            continue
        session.data(f"{finding.verdict:<5} {finding.what:<18} {finding.found}")
        if finding.fix:
            session.data(f"      {'':<18} → {finding.fix}")
    if any(finding.verdict == "FAIL" for finding in findings):
        raise click.exceptions.Exit(int(ExitCode.USAGE))
