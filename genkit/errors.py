"""What can go wrong for a user: one class per thing they would do about it.

A message says where, what is wrong, what was expected and what to do. The command line prints it
in one line and exits with status 2.
"""


class GenkitError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(GenkitError):
    """The configuration is wrong: edit the YAML file or the override."""


class DataError(GenkitError):
    """The data set or a file of it is missing, broken or does not fit the config."""


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
