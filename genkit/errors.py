"""What can go wrong for a user: one class per thing they would do about it.

A message says where, what is wrong, what was expected and what to do. The command line prints it
in one line and exits with status 2.
"""


class GenkitError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(GenkitError):
    """The configuration is wrong: edit the YAML file or the override."""


class DataError(GenkitError):
    """The data set or a file of it is missing, broken or does not fit the config.

    Attributes:
        files: Names within the set of files that can't be read, where it is about such.
    """

    files: tuple[str, ...] = ()


class CheckpointError(GenkitError):
    """A checkpoint or run folder can't be used as asked."""


class TrainingError(GenkitError):
    """Training can't go on: losses are not finite, memory ran out, a process is missing."""


class LaunchError(GenkitError):
    """One of several processes failed, or they can't be started as asked."""


class PipelineError(GenkitError):
    """An export can't be loaded, or a pipeline was called with values it can't take."""


class EvaluationError(GenkitError):
    """A metric can't be computed from what was given."""


class WeightsError(EvaluationError):
    """Published weights can't be fetched, or a file holds others: put the right one there."""


class OutputError(GenkitError):
    """A result can't go where it was asked to: another place or another ending is to be named."""


class Unfinished(KeyboardInterrupt):
    """A signal stopped a training before its last step; all that was done is in a checkpoint.

    It is a `KeyboardInterrupt`, so that a loop over several trainings ends with the one that was
    stopped. The command line prints its message and exits with status `UNFINISHED`.
    """


UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: come again, with --resume

_LONGEST = 300


def shown(value: object, longest: int = _LONGEST) -> str:
    """A name or a value as it may be shown on a terminal: printable, on one line and not too long.

    Names of files may hold line breaks, escape sequences that clear a screen, and bytes that are
    not text. They are written as `\\n`, `\\x1b` and `\\udce9`; the middle of what is longer than
    `longest` characters is left out, and how much is said.
    """
    text = str(value)
    cut = len(text) - longest
    if cut > 0:
        half = longest // 2
        text = f"{text[:half]} [{cut} characters left out] {text[-half:]}"
    return _printable(text)


def shown_lines(text: str) -> str:
    """A message of one or several lines as `shown` has it, whole and with its line breaks."""
    return "\n".join(map(_printable, text.split("\n")))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
