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
    (
        " workers are not running",
        "Others answer meanwhile. If it goes on, the API's log tells what each of them died of.",
    ),
    (
        " has not reported for",
        "It hangs, or the machine has no time for it: restart the API if it does not come back"
        " within a minute.",
    ),
    (
        "no directory events",
        "Nothing is lost: a timer looks every few seconds, so a swap only comes a little later."
        " Events are tried again by themselves; on Linux fs.inotify.max_user_instances and"
        " max_user_watches are what is used up as a rule.",
    ),
    (
        "the reload signal is gone",
        "Put models/<model>/reload_signal.json back from a backup, or train: the next promotion"
        " writes it.",
    ),
    (
        "the signal cannot be read",
        "See that the API may read models/<model>/reload_signal.json; it is read again by itself.",
    ),
    (
        "a generation names one version",
        "Somebody restored or edited the store: roll back to the version that is wanted, which"
        " makes a new generation.",
    ),
    (
        "retrain daemon: ",
        "It goes on with everything else and tries again; its log has the whole error.",
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
