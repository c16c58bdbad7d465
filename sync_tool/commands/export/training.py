"""Fine-tuning sets: what was asked for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sync_tool.commands.options import OutputOptions, TrainingKeywords
from sync_tool.errors import UsageError
from sync_tool.files.conversations import ConversationWriter, Counted, Training
from sync_tool.files.formats import TRAINING_FORMATS
from sync_tool.rows.model import Selection
from sync_tool.rows.ports import Source
from sync_tool.text import moment, plural


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Content of a fine-tuning set, and the sessions and values that are not in it."""

    conversations: int
    sessions: int
    """Sessions that there were to choose from."""
    left_out: dict[str, Counted]
    """Sessions that were left out, by reason; as many of them by id as the report lists."""
    not_carried: dict[str, Counted]
    """Values of the written conversations that the format cannot hold."""

    def lines(self) -> list[str]:
        """Return the report for people."""
        lines = []
        for title, found in (("left out", self.left_out), ("not carried", self.not_carried)):
            if found:
                listed = " · ".join(_said(title, what, one.count) for what, one in found.items())
                lines.append(f"{title:<12}  {listed}")
        if lines:
            lines[-1] += " (sessions listed with --json)"
        return lines


def training_of(options: OutputOptions) -> Training | None:
    """Return how to write a fine-tuning set; None for other formats.

    Raises:
        UsageError: such an option with another format, or a file that cannot be read.
    """
    if options.format not in TRAINING_FORMATS:
        used = [name for name in TrainingKeywords.__annotations__ if getattr(options, name)]
        if used:
            raise UsageError(
                f"--{used[0].replace('_', '-')} is for formats for fine-tuning.",
                hint=[("add", "-f openai or -f sharegpt")],
            )
        return None
    return Training(_system_text(options.system), options.drop_tools, options.end_with)


def training_report(writer: ConversationWriter, source: Source, selection: Selection) -> TrainingReport:
    """Count the sessions that were written and left out; of files also those that were not active."""
    left_out = writer.left_out.report()
    considered = writer.written + sum(one.count for one in left_out.values())
    if selection.active_after is not None and not source.live:
        everyone = sum(1 for _ in source.list_sessions(replace(selection, active_after=None)))
        since = moment(selection.active_after)
        if everyone > considered:
            left_out[f"not active since {since:%Y-%m-%d}" if since else "not active"] = Counted(
                everyone - considered, ()
            )
            considered = everyone
    return TrainingReport(writer.written, considered, left_out, writer.not_carried.report())


def _system_text(given: str | Path | None) -> str | None:
    """Return a system message that was given as text, or as the name of a file that holds it."""
    if given is None or given == "":
        return None
    try:
        if isinstance(given, Path) or Path(given).expanduser().is_file():
            return Path(given).expanduser().read_text("utf-8").rstrip("\n")
    except (OSError, ValueError) as error:
        if isinstance(given, Path):
            raise UsageError(f"cannot read {given}: {error}.") from None
        # a text too long for a name, or with characters that no name has
    text = str(given)
    if "\n" not in text and " " not in text and text.endswith((".txt", ".md")):
        raise UsageError(f"there is no file {text!r} to take the system message from.")
    return text


def _said(title: str, what: str, count: int) -> str:
    if title == "left out":
        return f"{count:,} {what}"
    return f"{what} {count:,}"


def conversations_of(report: TrainingReport) -> str:
    """Return how many sessions became conversations."""
    return f"{report.conversations:,} of {plural(report.sessions, 'session')}"
