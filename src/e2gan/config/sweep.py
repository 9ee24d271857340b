"""The stage that makes many concepts on several machines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tyro.conf import Positional

from e2gan.config.checks import at_least, need, positive
from e2gan.config.data import MOST_EDITS, TeachConfig
from e2gan.config.network import Ranks
from e2gan.config.settings import Settings
from e2gan.config.stages import Init
from e2gan.config.training import TrainingConfig

MOST_TASKS = 100_000


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Settings):
    """Make pairs, adapter, figures and exported files of each of many concepts, on this machine or on a Ray cluster."""

    concepts: Positional[str]
    """TOML file of concepts, as of `pairs --concepts`, or the name of a list that ships."""
    photos: Path
    """Photo set whose photos the teachers edit."""
    out: str
    """Folder to write, or a place in an object store, s3://BUCKET/NAME or gs://BUCKET/NAME. What is there is found by
    what it was made of, and not made again (docs/sweep.md)."""
    base: Path | None = None
    """Base to adapt: a folder, or full or small, which ship (default: full)."""
    address: str | None = None
    """Ray cluster to work on, HOST:PORT of its head, or auto for the one that this machine is in (default: this machine
    alone, which nobody else can reach)."""
    teacher: tuple[str, ...] | None = None
    """Teachers, as of `pairs` (default: those of the list, else filters)."""
    teacher_model: tuple[str, ...] = ()
    """Checkpoints of the teachers, TEACHER=FOLDER, as `pairs --model`; each machine needs the folder."""
    set: tuple[str, ...] = ()
    """Arguments of a teacher's call to change, TEACHER.NAME=VALUE, as `pairs --set`."""
    run_commands: bool = False
    """Run the programs that the list names as teachers (command:…), on each machine: only for a list that you trust."""
    edits: int = 1
    """Edits a photo by each teacher, as `pairs --seeds`."""
    retries: int = 2
    """More seeds for an edit that failed."""
    score_clip: str | None = None
    """CLIP by name or folder, for the scores of edits, as `pairs --clip`."""
    reject: tuple[str, ...] = ()
    """Reject failed edits by score, as `pairs --reject`."""
    block: int | None = None
    """Let teachers edit so many photos a task, put together to the same pair set (default: a concept's all in one)."""
    keep: int | None = None
    """Train on so many photos, selected among those with a pair, as `select --pairs` (Sec. 4.2.3; default: on all)."""
    embedding: str = "gradient-colour"
    """What the selection compares photos by, as `select --embedding`."""
    text: str | None = None
    """Where the base's text encoder lies, e.g. clip:FOLDER for a local copy; each machine needs it."""
    init: Init = "random"
    """What an adapter begins as, as `adapt --init`."""
    inception: str | None = None
    """The Inception file for FID and KID, as `evaluate --inception`."""
    export: tuple[str, ...] = ("onnx",)
    """Formats to export each adapter to, as `export --format`; --export alone, without any: none."""
    gpus: float = 0.0
    """Share of a GPU for each task that runs a diffusion model, trains or measures: 0.5 puts two on one; 0: the CPU."""
    threads: int = 1
    """CPU cores of each task, and the threads that it computes with."""
    tasks: int | None = None
    """Without --address: tasks at once (default: as many as this machine's cores hold)."""
    in_flight: int | None = None
    """Tasks of each kind, for CPUs and for GPUs, that are handed to the cluster at once (default: twice those that it
    can run)."""
    task_retries: int = 3
    """Times that a task is begun again whose process or machine died."""
    scratch: Path | None = None
    """Folder on each machine's own disk where things are made before they go to --out (default: in that for temporary
    files)."""
    scratch_gb: float = 20.0
    """Bytes there, in 10⁹, above which no further task begins on that machine."""
    verify: bool = False
    """Read again all that is there, and make anew what is not as it was written."""
    ranks: Ranks = field(default_factory=Ranks)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def check(self) -> None:
        need(bool(self.out.strip()), "--out is empty: name a folder, or a place in an object store")
        need(self.address is None or bool(self.address.strip()), "--address is empty: HOST:PORT, or auto")
        need(self.teacher != (), "--teacher is empty: name at least one")
        need(self.training.minutes is None, "--minutes: each machine's clock would decide: --steps or --epochs instead")
        need(self.training.device == "auto" or self.gpus > 0 or self.training.device == "cpu", "--device needs --gpus")
        at_least("edits", self.edits, 1, MOST_EDITS)
        at_least("retries", self.retries, 0, MOST_EDITS)
        at_least("block", self.block, 1)
        at_least("keep", self.keep, 1)
        need(self.keep is None or self.keep >= self.training.batch, f"--keep {self.keep}: must be at least --batch")
        at_least("gpus", self.gpus, 0, 64)
        need(self.gpus <= 1 or self.gpus == int(self.gpus), f"--gpus {self.gpus}: a share up to 1, or whole ones")
        at_least("threads", self.threads, 1, 1024)
        at_least("tasks", self.tasks, 1, 1024)
        need(self.address is None or self.tasks is None, "--tasks is for this machine alone: a cluster has its own")
        at_least("in-flight", self.in_flight, 1, MOST_TASKS)
        at_least("task-retries", self.task_retries, 0, 1000)
        positive("scratch-gb", self.scratch_gb)
        twice = [name for i, name in enumerate(self.export) if name in self.export[:i]]
        need(not twice, f"--export names {twice[0] if twice else ''} twice")
        self.teach.check()
        self.ranks.check()
        self.training.check()

    @property
    def teach(self) -> TeachConfig:
        """How the teachers teach."""
        return TeachConfig(
            model=self.teacher_model,
            set=self.set,
            seeds=self.edits,
            retries=self.retries,
            clip=self.score_clip,
            reject=self.reject,
        )

    @property
    def same_training(self) -> TrainingConfig:
        """The training on every machine alike: no precision that each would time for itself."""
        precision = "fp32" if self.training.precision == "auto" else self.training.precision
        return replace(self.training, precision=precision, device=self.device)

    @property
    def device(self) -> str:
        """Of the tasks that may have a GPU."""
        return self.training.device if self.gpus > 0 else "cpu"
