"""What a sweep makes, and how each thing is known: by a hash of its settings and of what it is made from.

A thing's identity holds the identities of its inputs, down to the bytes of photos and base. So all identities are known
before anything is made, and a thing that is there under its identity is the one that is wanted, whatever its concept is
called and whoever made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.files import plain

FORM = 1  # of what identities are made of: another one makes all anew
PHOTOS, BASES = "photos", "bases"  # what the driver brings
BLOCKS, PAIRS, SELECTIONS, ADAPTERS = "blocks", "pairs", "selections", "adapters"
EVALUATIONS, EXPORTS = "evaluations", "exports"
KINDS = (PHOTOS, BASES, BLOCKS, PAIRS, SELECTIONS, ADAPTERS, EVALUATIONS, EXPORTS)
ON_GPU = (ADAPTERS, EVALUATIONS)  # and what diffusion models edit
SHORT = 16  # hexadecimal digits of an identity in names of folders


@dataclass(frozen=True)
class Ref:
    """A thing by its kind and its identity, a SHA-256 in hexadecimal."""

    kind: str
    identity: str

    @property
    def place(self) -> str:
        """Where it lies, below the store's folder and below that of a machine's own disk alike."""
        return f"{self.kind}/{self.identity[:SHORT]}"

    @classmethod
    def read(cls, text: str) -> Ref:
        """From `KIND/IDENTITY`. Raises InputError for another text."""
        kind, _, identity = text.partition("/")
        if kind not in KINDS or len(identity) != 64 or not set(identity) <= set("0123456789abcdef"):
            raise InputError(f"{text[:80]!r} names nothing that a sweep makes")
        return cls(kind, identity)

    def __str__(self) -> str:
        return f"{self.kind}/{self.identity}"


@dataclass(frozen=True)
class Thing:
    """Something to be made. settings: what decides it, as JSON holds it; hints: what does not (a batch's size).

    inputs: by what they are to it; several of one kind have numbered names. after: inputs that spare it work and do not
    decide it, such as the blocks of a pair set. gpu: whether its task may take a share of one.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Ref] = field(default_factory=dict)
    after: tuple[Ref, ...] = ()
    hints: Mapping[str, Any] = field(default_factory=dict)
    gpu: bool = False

    @property
    def ref(self) -> Ref:
        """Its kind and identity."""
        inputs = {name: str(ref) for name, ref in self.inputs.items()}
        return Ref(self.kind, digest({"form": FORM, "kind": self.kind, "settings": self.settings, "inputs": inputs}))

    @property
    def needs(self) -> tuple[Ref, ...]:
        return (*self.inputs.values(), *self.after)

    def order(self) -> dict[str, Any]:
        """As JSON, for a task."""
        return {
            "kind": self.kind,
            "settings": plain(self.settings),
            "hints": plain(self.hints),
            "inputs": {name: str(ref) for name, ref in self.inputs.items()},
            "after": [str(ref) for ref in self.after],
        }

    @classmethod
    def read(cls, order: Mapping[str, Any]) -> Thing:
        """From `order`."""
        inputs = {name: Ref.read(text) for name, text in order["inputs"].items()}
        after = tuple(Ref.read(text) for text in order["after"])
        return cls(order["kind"], order["settings"], inputs, after, order["hints"])


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True, ensure_ascii=False).encode()).hexdigest()
