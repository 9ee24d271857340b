"""Models in onnxruntime-web's WASM, which Node runs: what benchmarks ask of wasm.mjs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from e2gan import InputError
from e2gan.core.images import Pixels

WASM = "WASM"


def absent(modules: Path | None) -> str | None:
    """Why there is none here; None where there is. modules: a folder where npm installed onnxruntime-web."""
    if shutil.which("node") is None:
        return "there is no node on the path"
    if modules is None:
        return "--node-modules was not given"
    if not any((modules / part / "onnxruntime-web").is_dir() for part in ("", "node_modules")):
        return f"{modules} has no onnxruntime-web"
    return None


class Wasm:
    """onnxruntime-web in a Node process, SIMD. Models are told by their files, uint8 in and out."""

    def __init__(self, node: subprocess.Popen[str], shape: tuple[int, ...], folder: Path) -> None:
        self.node, self.shape, self.folder = node, shape, folder
        self.loaded = set[Path]()

    def ask(self, **request: object) -> dict[str, Any]:
        """Raises InputError where the model does not run."""
        assert self.node.stdin is not None
        assert self.node.stdout is not None
        print(json.dumps(request), file=self.node.stdin, flush=True)
        line = self.node.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "Node ended"}
        if "error" in answer:
            raise InputError(f"{WASM}: {answer['error']}")
        return answer

    def put(self, name: str, inputs: Mapping[str, Any]) -> str:
        """The file of a model's inputs beside the photo, float32, as `edit` and `time` take it."""
        file = self.folder / f"{name}.safetensors"
        save_file({key: np.require(value, np.float32, "C") for key, value in inputs.items()}, file)
        return str(file)

    def edit(self, file: Path, feed: str | None = None) -> Pixels:
        if file not in self.loaded:
            self.ask(load=str(file))
            self.loaded.add(file)
        to = self.folder / "edit.bin"
        self.ask(edit=str(file), to=str(to), feed=feed)
        return np.frombuffer(to.read_bytes(), np.uint8).reshape(self.shape)

    def time(self, file: Path, seconds: float, feed: str | None = None) -> float:
        """Milliseconds of a frame, the mean of those that fit into `seconds`, one at least; after `edit`."""
        return self.ask(time=str(file), seconds=seconds, feed=feed)["ms"]


@contextmanager
def in_node(modules: Path, threads: int, photo: Pixels, folder: Path) -> Iterator[Wasm]:
    """photo: (1, SIDE, SIDE, 3), what all models edit. folder: to write into."""
    (folder / "photo.bin").write_bytes(photo.tobytes())
    arguments = [modules, threads, folder / "photo.bin", photo.shape[1]]
    command = ["node", str(Path(__file__).with_name("wasm.mjs")), *map(str, arguments)]
    node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Wasm(node, photo.shape, folder)
    finally:
        node.kill()
        node.wait()
