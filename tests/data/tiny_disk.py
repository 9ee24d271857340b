"""A command on a disk of a few kilobytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = """
set -e
mkdir -p {mount}
mount -t tmpfs -o size={size} {options} none {mount}
set +e
{command}
echo "status $?"
ls -A {mount}
"""


def in_small_disk(
    tmp_path: Path, arguments: list[str], size: str, options: str = "", environment: str = ""
) -> tuple[str, str]:
    """Run a command with a tmpfs of this size at tmp_path/disk that no other process sees: its output, its errors."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs the right to make a mount namespace (unshare -m)")
    command = environment + " " + " ".join(f"'{word}'" for word in [sys.executable, "-m", "e2gan", *arguments])
    script = FULL.format(mount=tmp_path / "disk", size=size, options=options, command=command)
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr
