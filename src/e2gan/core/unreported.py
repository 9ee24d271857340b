"""Libraries that report how they are used and have no switch of their own against it, imported without that."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Any

REPORTER = "openvino_telemetry"


def import_openvino() -> Any:
    """OpenVINO, as where its package of reports is not installed: then it takes a stub of its own.

    With it, an import sends an event to Google Analytics from a forked process, which may hang, and writes to ~/intel.
    Raises ImportError where OpenVINO is missing.
    """
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == REPORTER}
    sys.modules |= dict.fromkeys([REPORTER, *before])  # None: to import it raises ImportError
    try:
        return importlib.import_module("openvino")
    finally:
        with suppress(KeyError):
            del sys.modules[REPORTER]
        sys.modules |= before
