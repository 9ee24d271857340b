"""The teacher that is a Python function, for those who call this package from their own code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from e2gan.config.checks import need
from e2gan.config.settings import fitted
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.teachers.teacher import Ask, Failed

PhotoFunction = Callable[[list[Pixels], str, list[int]], Iterable[Pixels | Failed]]


class FunctionTeacher:
    """Edits photos by `function(photos, prompt, seeds)`.

    function: gets photos, uint8 (H, W, 3) RGB each and its own to change, the prompt, and one seed a photo; gives as
    many edits, uint8 (H, W, 3) RGB of any size. A `Failed` in place of an edit says why there is none.
    name: what it is called in metadata.jsonl (default: the function's own name). batch: photos at a time.
    deterministic: whether the same photo gives the same edit with any seed. sided: whether its edits have a side, as a
    sun or a light leak has: trainings mirror no pairs of it.
    version: any text that says which state of the function it is. A function cannot be hashed reliably: its code may
    call other code, and hold weights. So a run that is repeated goes on with the edits that are there unless `name` or
    `version` differ: change the version whenever the edits change.

    Raises InputError for what is no function, and one without a name that is given none.
    """

    def __init__(
        self,
        function: PhotoFunction,
        name: str | None = None,
        batch: int = 8,
        deterministic: bool = False,
        version: str = "",
        *,
        sided: bool = False,
    ) -> None:
        need(callable(function), f"a teacher's function must be callable, not {type(function).__name__}")
        batch, version = fitted(batch, int, "batch"), fitted(version, str, "version")
        name, deterministic = fitted(name, str | None, "name"), fitted(deterministic, bool, "deterministic")
        need(batch >= 1, f"batch={batch}: must be at least 1")
        function_name = getattr(function, "__name__", "<no name>")
        if name is None and function_name.startswith("<"):  # a lambda, a partial, an object
            raise InputError('a function without a name of its own needs one: FunctionTeacher(…, name="my-edit")')
        self.function = function
        self.name = f"function:{function_name}" if name is None else name.strip()
        need(bool(self.name), "name: must not be empty")
        self.batch = batch
        self.deterministic = deterministic
        self.sided = fitted(sided, bool, "sided")
        self.version = version

    def settings(self, ask: Ask) -> dict[str, Any]:  # noqa: ARG002 (the prompt is the caller's to write down)
        return {"function": self.name, "version": self.version}

    def load(self) -> None:
        """Raises InputError where the function does not take three arguments."""
        try:
            signature = inspect.signature(self.function)
        except (ValueError, TypeError):  # one that is not written in Python may have none
            return
        try:
            signature.bind([], "", [])
        except TypeError as error:
            raise InputError(f"{self.name}: must take (photos, prompt, seeds), not {signature} ({error})") from None

    def edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """As the protocol says. Raises InputError where the function gives no edits, or not as many, or no pixels."""
        returned = self.function([photo.copy() for photo in photos], ask.prompt, list(seeds))
        if not isinstance(returned, Iterable):
            raise InputError(f"{self.name}: must return a list of edits, not {type(returned).__name__}")
        edits = list(returned)
        if len(edits) != len(photos):
            raise InputError(f"{self.name}: returned {len(edits)} edits of {len(photos)} photos: return one for each")
        for i, edit in enumerate(edits):
            if not isinstance(edit, Failed) and not _is_pixels(edit):
                raise InputError(
                    f"{self.name}: edit {i} is {_description(edit)}: return uint8 (H, W, 3), RGB in 0..255"
                )
        return edits

    def close(self) -> None:
        """Nothing to give back: the function is the caller's."""


def _is_pixels(edit: object) -> bool:
    if not isinstance(edit, np.ndarray) or edit.dtype != np.uint8 or edit.ndim != 3:
        return False
    return edit.shape[2] == 3 and edit.size > 0


def _description(edit: object) -> str:
    shape, kind = getattr(edit, "shape", None), getattr(edit, "dtype", None)
    return f"{type(edit).__name__}" + (f" {kind} {tuple(shape)}" if shape is not None else "")
