"""The command line: command → function. A command is a public function; its flags are its settings."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import io
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from e2gan import __version__
from e2gan import config as c
from e2gan.core.errors import InputError, LostProcessError, LostTrainingError, MachineError, ToldError
from e2gan.core.group import group_of, joined, last_word
from e2gan.core.machine import PLACE, machine_fault
from e2gan.core.memory import is_no_memory
from e2gan.core.names import expanded_home
from e2gan.core.stopping import Stopped, signals_stop

LONGEST_MESSAGE = 600  # characters, of which what was typed may be most
# Command → its settings and its function, in the order of the data's way. A function's module is imported to run it.
COMMANDS: dict[str, tuple[type, str]] = {
    "demo": (c.DemoConfig, "e2gan.demo.demo:run_demo"),
    "photos": (c.PhotosConfig, "e2gan.data.photos:prepare_photos"),
    "select": (c.SelectConfig, "e2gan.choose.photos:select_photos"),
    "pairs": (c.PairsConfig, "e2gan.pairs.make:pairs_command"),
    "choose": (c.ChooseConfig, "e2gan.pairs.choose_again:choose_again"),
    "concepts": (c.ConceptsConfig, "e2gan.choose.concepts:choose_concepts"),
    "base": (c.BaseConfig, "e2gan.train.base:train_base"),
    "adapt": (c.AdaptConfig, "e2gan.train.adapter:adapt"),
    "scratch": (c.ScratchConfig, "e2gan.train.scratch:train_scratch"),
    "ranks": (c.RanksConfig, "e2gan.research.ranks:find_ranks"),
    "crucial": (c.CrucialConfig, "e2gan.research.crucial:find_crucial"),
    "evaluate": (c.EvaluateConfig, "e2gan.measure.evaluate:evaluate"),
    "nearest": (c.NearestConfig, "e2gan.measure.nearest:nearest"),
    "sweep": (c.SweepConfig, "e2gan.sweeps.sweep:sweep"),
    "table": (c.TableConfig, "e2gan.research.tables.run:run_table"),
    "reproduce": (c.ReproduceConfig, "e2gan.research.reproduce:reproduce"),
    "cost": (c.CostConfig, "e2gan.measure.cost:measure_cost"),
    "plan": (c.PlanConfig, "e2gan.measure.plan:plan"),
    "export": (c.ExportConfig, "e2gan.export.all_formats:export"),
    "edit": (c.EditConfig, "e2gan.editing.edit:edit"),
    "push": (c.PushConfig, "e2gan.sharing.push:push_to_hub"),
    "app": (c.AppConfig, "e2gan.app.app:run_app"),
    "verify": (c.VerifyConfig, "e2gan.research.verify:verify"),
}

# Commands with a --recipe → the stage whose part of it they take.
TRAINED: dict[str, c.Stage] = {"base": "base", "adapt": "adapt", "scratch": "scratch", "sweep": "adapt"}
TOGETHER = ("base",)  # commands that run in several processes, which torchrun begins


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 a training or a process of it was lost, `verify` found a
    fault or `sweep` left out a concept, 2 wrong usage or bad input, and where a signal stopped it, 128 and the signal's
    number: 130 on Ctrl-C, 143 on SIGTERM, 129 on SIGHUP.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a sign that the terminal cannot show must not end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with signals_stop(), _together(arguments):
            return _run(arguments)
    except ToldError as error:
        return error.status
    except InputError as error:
        print(f"e2gan: {error}", file=sys.stderr)
        return 2
    except (LostTrainingError, LostProcessError) as error:
        print(f"e2gan: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not is_no_memory(error):
            raise
        what = "a smaller --size, --batch or --width needs less; for a photo, --tile"
        print(f"e2gan: memory ran out: {what}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `e2gan … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MachineError) as error:
        fault = machine_fault(error)
        if fault is None and isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            fault = f"{error.strerror}{f': {error.filename}' if error.filename else ''} ({PLACE})"
        if fault is None:
            raise
        print(f"e2gan: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        word = last_word()
        line = "stopped; the same command goes on from where it can" if word is None else word
        with contextlib.suppress(OSError):  # SIGHUP: the terminal is gone
            if line:
                print(f"e2gan: {line}", file=sys.stderr)
        return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def _together(arguments: list[str]) -> contextlib.AbstractContextManager[Any]:
    """Inside, the command is one of a group's, where torchrun began several. Raises InputError for one that is not made
    for that: each process would do all of it."""
    group = group_of(os.environ)
    if group.size == 1:
        return contextlib.nullcontext()
    if arguments and arguments[0] in TOGETHER:
        return joined()
    if not group.first:
        raise ToldError(2)
    what = f"{arguments[0]} was begun" if arguments and arguments[0] in COMMANDS else "this was begun"
    raise InputError(f"{what} in {group.size} processes: only {', '.join(TOGETHER)} runs so (leave torchrun out)")


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"e2gan {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise InputError(f"unknown command '{name}': choose one of {', '.join(COMMANDS)}")
    invocation = _parse(name, rest)
    settings = _with_home(invocation.settings)
    settings.check()
    if invocation.dry_run:
        from e2gan.core.files import plain

        _print_json(plain(settings) | plain(_remarks(settings)))
        return 0
    return _call(COMMANDS[name][1], settings, as_json=invocation.json)


def _remarks(settings: Any) -> dict[str, Any]:
    """What a dry run shows beside an experiment's settings."""
    if not isinstance(settings, c.ExperimentConfig) or getattr(settings, "number", None) == "list":
        return {}
    from e2gan.research.remarks import remarks

    return remarks(settings)  # pyright: ignore[reportArgumentType]


def _call(target: str, settings: Any, *, as_json: bool) -> int:
    logging.getLogger("torch").setLevel(logging.ERROR)
    module, _, function = target.partition(":")
    # Whatever a library prints goes to standard error: standard output is the result's.
    with contextlib.redirect_stdout(sys.stderr):
        result = getattr(importlib.import_module(module), function)(settings)
    if as_json:
        from e2gan.core.files import plain

        _print_json(plain(result))
    else:
        print(result)
    return getattr(result, "status", 0)


def _print_json(value: Any) -> None:
    readable = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    print(json.dumps(value, indent=2, ensure_ascii=not readable))


def _with_home(settings: Any) -> Any:
    """The settings with `~` in their paths, which a shell leaves in `--out=~/x`, as the home folder."""

    def expanded(value: Any) -> Any:
        if isinstance(value, Path):
            return expanded_home(value)
        if isinstance(value, tuple):
            return tuple(map(expanded, value))
        return _with_home(value) if dataclasses.is_dataclass(value) else value

    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.init}
    found = {name: expanded(value) for name, value in values.items()}
    return dataclasses.replace(settings, **found) if found != values else settings


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "e2gan: a photo edit as a 92-thousand-parameter adapter of a generator small enough for a phone (E²GAN).",
        "",
        "usage: e2gan COMMAND …            e2gan COMMAND --help tells all of its settings",
        "",
    ]
    lines += [
        f"  {name:<{width}}  {(settings.__doc__ or '').splitlines()[0]}" for name, (settings, _) in COMMANDS.items()
    ]
    lines += [
        "",
        "Every command knows --dry-run (print the settings and stop) and --json (one JSON object on standard output).",
    ]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """The flags that decide what the other settings start from, as they were typed."""

    recipe: str | None = None
    preset: str | None = None
    ranks: str | None = None
    model: str | None = None
    base: str | None = None
    start: str | None = None
    epochs: str | None = None
    steps: str | None = None
    minutes: str | None = None
    unpaired: bool = False


def _parse(name: str, arguments: list[str]) -> Any:
    """The settings of a command by tyro from its dataclass, with --dry-run and --json, and where they fit, --recipe,
    --preset and --ranks."""
    import tyro

    settings = COMMANDS[name][0]
    arguments = _joined(settings, arguments)
    names = {f.name for f in dataclasses.fields(settings)}
    start = _Start()
    # Read first and alone. What is unknown here, or wrong, the second reading below tells.
    with contextlib.suppress(SystemExit):
        start, _ = tyro.cli(_Start, args=arguments, return_unknown_args=True, add_help=False, console_outputs=False)
    try:
        defaults = _defaults(name, start)
    except InputError as error:
        if not {"-h", "--help"} & {*arguments}:
            raise
        print(f"e2gan: {error}; the defaults below are those without a recipe", file=sys.stderr)
        defaults = _defaults(name, _Start())
    fields: list[Any] = [
        ("settings", Annotated[settings, tyro.conf.arg(name="")], defaults),
        ("dry_run", Annotated[bool, tyro.conf.arg(help="Print the resolved settings and stop.")], False),
        ("json", Annotated[bool, tyro.conf.arg(help="Print one JSON object on standard output.")], False),
    ]
    if name in TRAINED:
        text = "What the options below start from: " + "; ".join(f"{n}, {r.about}" for n, r in c.RECIPES.items()) + "."
        fields.append(("recipe", _choice(c.RECIPES, text), None))
    if "generator" in names:
        text = (
            "The generator that the options below start from: the paper's; ours, with reflected borders, or as devices "
            "run it, which is the default; and a small one for browsers."
        )
        fields.append(("preset", _choice(c.PRESETS, text), None))
    if "ranks" in names:
        text = "ranks.json of `e2gan ranks`, which the options --level1 to --tb then start from."
        fields.append(("ranks", Annotated[Path | None, tyro.conf.arg(help=text)], None))
    invocation = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)
    invocation.__doc__ = settings.__doc__
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(tyro.conf.OmitArgPrefixes[invocation], prog=f"e2gan {name}", args=arguments)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(f"{_one_line(errors.getvalue())} (see: e2gan {name} --help)") from None


def _joined(settings: type, arguments: list[str]) -> list[str]:
    """The arguments with a list's flag that was given several times (`--adapter A --adapter B`) given once, with all of
    its values: of two, argparse would take the last and not say so."""
    lists = {f.name for f in dataclasses.fields(settings) if re.match(r"tuple\[[^,]+, \.\.\.\]", str(f.type))}
    group: list[str] = []
    groups, of_flag = [group], dict[str, list[str]]()
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if not flag.startswith("--"):
            group.append(argument)
        elif flag in of_flag:
            group = of_flag[flag]  # what follows is its own too
            group += [value] if value else []
        elif flag.removeprefix("--").replace("-", "_") in lists:
            group = of_flag[flag] = [flag, value] if value else [flag]
            groups.append(group)
        else:
            group = [argument]
            groups.append(group)
    return [argument for group in groups for argument in group]


def _choice(names: Iterable[str], text: str) -> Any:
    """The type of a flag that takes one of these names, or is left out."""
    import tyro

    return Annotated[str | None, tyro.conf.arg(help=text, metavar=f"{{{','.join(names)}}}")]


def _defaults(name: str, start: _Start) -> Any:
    """The defaults of a command, which --recipe, --preset, --ranks, --model and --unpaired decide in part."""
    import tyro

    settings = COMMANDS[name][0]
    known = {f.name for f in dataclasses.fields(settings)}
    values: dict[str, Any] = {}
    if start.recipe is not None and name in TRAINED:
        values = _recipe(start, _chosen("recipe", start.recipe, c.RECIPES), TRAINED[name])
    if name == "scratch":
        values |= _of_baseline(start, values.get("training"))
    if start.preset is not None and "generator" in known:
        values["generator"] = c.PRESETS[_chosen("preset", start.preset, c.PRESETS)]
    if start.ranks and "ranks" in known:
        values["ranks"] = c.Ranks.load(expanded_home(Path(start.ranks)))
    for f in dataclasses.fields(settings):
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            values[f.name] = tyro.MISSING
    return settings(**values)


def _chosen(flag: str, value: str, known: Iterable[str]) -> str:
    if value not in known:
        raise InputError(f"invalid choice '{value}' for --{flag}: there are {', '.join(known)}")
    return value


def _recipe(start: _Start, name: str, stage: c.Stage) -> dict[str, Any]:
    """A recipe's settings of a stage. On a base of another generator than the recipe's, its training settings alone,
    and a line on standard error that says so."""
    from e2gan.config.schemas import BASE
    from e2gan.core.outputs import read_settings
    from e2gan.networks.folders import base_folder, generator_config

    recipe, generator = c.RECIPES[name], None
    base = {"base": start.start, "adapt": start.base, "scratch": None}[stage]
    on_a_base = stage == "adapt" or base is not None
    if on_a_base and (recipe.generator is not None or recipe.widths):
        folder = base_folder(None if base is None else expanded_home(Path(base)))
        generator = generator_config(read_settings(folder, BASE, "base"))
        if not recipe.fits(generator):
            line = f"recipe {name}: {folder} has another generator, so that its training settings alone are taken"
            print(f"e2gan: {line}", file=sys.stderr)
    values = recipe.settings(stage, generator)
    if stage == "adapt" and start.start is not None:
        values.pop("init", None)  # --start says what the adapter begins as
    # A length that was typed is the only one.
    if start.steps or start.epochs or start.minutes:
        lengths = {"minutes": None, "steps": None}
        values["training"] = dataclasses.replace(values["training"], **lengths)
    return values


def _of_baseline(start: _Start, recipe: c.TrainingConfig | None) -> dict[str, Any]:
    """The training of a baseline, or of one without pairs, which takes of a recipe what fits it, and a line on standard
    error that says so. recipe: the recipe's training, if there is one."""
    model = start.model or "pix2pix"
    if model == "comodgan":
        length = {} if recipe is None else {name: getattr(recipe, name) for name in ("minutes", "batch")}
        training = dataclasses.replace(c.COMODGAN_TRAINING, **length)
        if recipe is not None:
            print("e2gan: Co-Mod-GAN keeps its own training; of the recipe it takes length and batch", file=sys.stderr)
        return {"training": training}
    known = ("pix2pix", "pix2pix-unet", *(("e2gan", "cyclegan") if start.unpaired else ()))
    if recipe is None or model not in known:
        return {}
    training = c.as_published(recipe)
    kept = "losses"
    if model == "pix2pix-unet" and training.crop:  # made for one size
        training, kept = dataclasses.replace(training, crop=None), "losses, and no crops"
    if training != recipe:
        what = model if model != "e2gan" else "a training without pairs"
        print(f"e2gan: {what} keeps its own {kept}: of the recipe it takes the rest", file=sys.stderr)
    return {"training": training}


def _one_line(box: str) -> str:
    """tyro's boxed message as one line: what is wrong, and the flags that are missing, without their help texts."""
    text = re.sub(r"\x1b\[[0-9;]*m|[-─]{4,}", "", box)
    lines = [line.strip("│╭╮╰╯─┃|+ ") for line in text.splitlines()]
    explained = any(line.startswith(("Argument helptext", "Unrecognized")) for line in lines)
    missing = [line.split()[0] for line in lines if re.match(r"--\w", line)]
    if missing and not explained:
        return f"missing: {', '.join(missing)}"
    text = " ".join(line for line in lines if line)
    if unknown := re.search(r"Unrecognized options?: (.*?)(?: Perhaps| For| e2gan|$)", text):
        return f"unknown options: {unknown[1]}"
    text = re.sub(r" (Argument helptext|For full helptext).*", "", text)
    text = re.sub(r"^(Parsing error|Value error|Invalid choice) ", "", text)
    text = re.sub(r"^Error parsing [\w.]+: ", "", text) or "wrong usage"
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


if __name__ == "__main__":
    sys.exit(main())
