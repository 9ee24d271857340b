"""The program as a process of its own: `e2gan`, and `python -m e2gan`."""

import sys
from typing import NoReturn

from e2gan.core.stopping import Stopped, ending, stops_for_good


def run() -> NoReturn:
    """`main` of cli.py, from the first line to the last: no signal, however early or late, shows a traceback."""
    stops_for_good()
    try:
        from e2gan.cli import main

        status = main()
        ending(status)
    except Stopped as stop:  # while modules were imported, or just now
        status = 128 + stop.number
        ending(status)
    sys.exit(status)


if __name__ == "__main__":
    run()
