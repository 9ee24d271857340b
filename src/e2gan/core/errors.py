"""What a user did wrong, told in one line."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input or wrong usage.

    The message is one line that says what is wrong and how to mend it; the command line prints it and
    exits with status 2, without a traceback.
    """


class BusyError(InputError):
    """Another process is at the same output."""


class InputTypeError(InputError, TypeError):
    """Something of another type than is taken: an InputError that is a TypeError too."""


class NotFiniteError(InputError):
    """Weights or edits with values that are infinite or not a number."""


class MachineError(Exception):
    """Something that the machine lacks, or that fails in it: space, memory, open files, a disk. One line.

    It ends a run whatever it was at, and is never taken for a fault of the photo at hand; exit status 2. The same
    command goes on when it is mended.
    """


class LostTrainingError(Exception):
    """A training that could not be kept from being lost, for no fault of its input; exit status 1, one line."""


class LostProcessError(Exception):
    """Another process of a training on several is gone, or cannot be reached; exit status 1, one line."""


class ToldError(Exception):
    """What ended this process of several, another one tells; nothing is printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
