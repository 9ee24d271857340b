"""What a user did wrong, told in one line."""

from __future__ import annotations


class InputError(Exception):
    """Bad input or wrong usage.

    The message is one line that says what is wrong and how to mend it; the command line prints it and
    exits with status 2, without a traceback.
    """


class BusyError(InputError):
    """Another process is at the same output."""


class LostTrainingError(Exception):
    """A training that could not be kept from being lost, for no fault of its input; exit status 1, one line."""
