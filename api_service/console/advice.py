"""What to do about a problem that health names, where its sentence does not say so itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# Words of health_summary's sentences -> what a person does. The first that fits counts.
_ADVICE: Sequence[tuple[str, str]] = (
    (
        " is quarantined",
        "Nothing is lost: the version before goes on serving. Its run says how it was made; train"
        " again, or have it opened again with reload.",
    ),
    (" is unavailable:", "It is tried again by itself; see that the source answers from here."),
    (
        " is misconfigured:",
        "Correct the source in the configuration, then restart the retrain daemon.",
    ),
    (
        " is budget:",
        "Reading slows down until tomorrow; raise daily_read_budget if that is too late.",
    ),
    ("training of ", "It is tried again after a pause; the run in the table of runs says more."),
    (
        " serves no version",
        "The first version comes with the first training that passes the gates; What happened last"
        " says how far it is.",
    ),
)


def what_to_do(problem: str) -> str:
    """Empty where the problem's own sentence says it, or where there is nothing to do."""
    return next((advice for words, advice in _ADVICE if words in problem), "")
