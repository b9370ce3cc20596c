"""Failures that a user can cause, and can mend: each message says what was expected, what was got, what to do.

The command line prints them as one line; anything else that reaches the user as a traceback is a bug.
"""


class ColorlibError(Exception):
    """Base of the expected failures that neither ValueError nor FileNotFoundError names."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the line that says what to do, and not fifty lines above it."""
        return [f"{type(self).__name__}: {self}"]


class DataError(ColorlibError):
    """A photograph, folder or data set cannot be read as what it claims to be."""


class CheckpointError(ColorlibError):
    """A run, checkpoint or weights file is damaged, or belongs to another model."""


class RunError(ColorlibError):
    """A run cannot be started, continued or saved where it was asked to."""


class TrainingDiverged(ColorlibError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


def one_line(error: BaseException) -> str:
    """The message of an exception in one line; the system's own words for an OSError, the class if there are none."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"cannot use {error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split()) or type(error).__name__
