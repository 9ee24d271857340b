"""e2gan: a photo edit as a 92-thousand-parameter adapter of a generator small enough for a phone.

Each stage is a function of its settings, and a command:

    from e2gan import AdaptConfig, adapt
    adapt(AdaptConfig(base=Path("base"), pairs=Path("autumn"), out=Path("autumn-adapter")))

The public names are those of `__init__.pyi`, imported when they are first used: `import e2gan` imports no torch.
"""

from __future__ import annotations

import os

import lazy_loader

__version__ = "0.1.0"  # the one place: pyproject.toml, files and pictures have it from here

# Libraries that report how they are used, by their own switches, which they read as they are imported.
for _switch in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_switch, "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
