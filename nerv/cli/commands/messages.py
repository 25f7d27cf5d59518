"""`nerv messages`"""

from __future__ import annotations

import click

from nerv.cli.session import Session


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@click.pass_obj
def messages(session: Session, type_name: str | None) -> None:
    """List every message type, or print one with its JSON Schema.

    \b
    nerv messages
    nerv messages task.submit
    """
    import kernel.messages  # noqa: F401 - fills the vocabulary
    from nerv.bus.vocabulary import VOCABULARY
    from nerv.cli.tables import table

    entries = [VOCABULARY.named(type_name)] if type_name else list(VOCABULARY)
    if session.as_json or type_name:
        for entry in entries:
            session.json_line(
                {
                    "type": entry.name,
                    "purpose": entry.purpose,
                    "target": entry.target,
                    "topic": f"{entry.topic}." if entry.topic else None,
                    "role": entry.role.name.lower(),
                    "reply": VOCABULARY.of(entry.reply).name if entry.reply else None,
                    "summary": entry.summary,
                    "schema": entry.json_schema(),
                }
            )
        return
    rows = (
        (
            entry.name,
            entry.purpose,
            entry.target or "-",
            entry.role.name.lower(),
            VOCABULARY.of(entry.reply).name if entry.reply else "-",
            entry.summary,
        )
        for entry in entries
    )
    session.data(table(("TYPE", "PURPOSE", "TARGET", "ROLE", "REPLY", "SUMMARY"), rows))
