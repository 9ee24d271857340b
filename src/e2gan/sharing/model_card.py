"""README.md of a repository: what hubs read of a model in its head, and what people do below."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan.config.schemas import AdapterFacts, MetricsFile
from e2gan.core.files import CONFIG, read_json
from e2gan.core.schemas import StageConfig
from e2gan.core.tensors import read_tensors
from e2gan.networks.folders import ABOUT, ADAPTER, METRICS_FILE, MODEL, SHEET, shipped_name
from e2gan.sharing.licence import NOT_STATED, licence_of, read_card, split_card

BASE_CARD = "base.md"  # of an adapter's base, beside the adapter: it says what it may be used for
LICENCE_OF_BASE = "An adapter is made of its base, whose licence it has"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a card tells beside what the folder says. repository: where it goes. base: the folder of an adapter's base;
    base_repository: where that lies on a hub; inside: whether it lies in the adapter's repository. sheet: whether the
    evaluation's sheet goes too."""

    repository: str
    base: Path | None = None
    base_repository: str | None = None
    inside: bool = False
    sheet: bool = False


def adapter_card(adapter: Path, shown: Shown) -> str:
    """The card of an adapter: its prompt, base, licence, sizes, metrics where the folder has them, and its use."""
    assert shown.base is not None
    about: Mapping[str, Any] = read_json(adapter / ABOUT, AdapterFacts)
    own_card, base_card = read_card(adapter), read_card(shown.base)
    states = base_card if licence_of(own_card) == NOT_STATED else own_card  # its author's own may be the stricter one
    licence, own = licence_of(states), split_card(own_card)[1].strip()
    (parameters, size), (of_base, _) = _parameters(adapter / ADAPTER), _parameters(shown.base / MODEL)
    where = "which lies in `base/`" if shown.inside else "which ships with e2gan"
    if shown.base_repository is not None:
        where = f"which is [{shown.base_repository}](https://huggingface.co/{shown.base_repository})"
    see = f": see [{BASE_CARD}]({BASE_CARD})" if base_card is not None else ""
    ranks = ", ".join(f"{name} {rank}" for name, rank in (about.get("ranks") or {}).items())
    facts = {
        "prompt": _line(about["prompt"]),
        "base": f"`{_named(shown.base)}`, {where} (SHA-256 `{about['base_sha256'][:16]}…`)",
        "size": f"{parameters:,} parameters, {size / 1000:,.0f} kB; its base has {of_base:,}",
        "trained at": f"{about['size']} pixels of the shorter side" if "size" in about else None,
        "trained on": f"{about['pairs']:,} pairs, {about.get('steps', 0):,} steps" if "pairs" in about else None,
        "LoRA ranks": ranks or None,
        "licence": f"{licence}{see}. {LICENCE_OF_BASE}.",
    }
    link = _link(states) or (BASE_CARD if see else None)
    head = _head(licence, shown.base_repository, ["lora", "peft"], _flat(about["prompt"]), link)
    about_it = f"An adapter that edits photos and camera pictures with [e2gan]({PAGE}): *{_line(about['prompt'])}*."
    body = [about_it, "", *_list(facts), *_measured(adapter, about, shown), *_use(shown)]
    return _card(head, _title(shown), [*body, *(["", *own.splitlines()] if own else [])])


def model_card(folder: Path, shown: Shown) -> str:
    """The card of a base, or of a model from scratch: its own, where it has one, with how to use it from a hub."""
    config = read_json(folder / CONFIG, StageConfig)
    settings: Mapping[str, Any] = config["settings"]
    card = read_card(folder)
    head_there, own = split_card(card)
    licence = licence_of(card)
    prompts = [*(settings.get("concepts") or ())]
    parameters, size = _parameters(folder / MODEL)
    facts = {
        "prompts" if prompts else "prompt": "; ".join(map(_line, prompts)) or _line(settings.get("prompt", "")) or None,
        "size": f"{parameters:,} parameters, {size / 1e6:,.1f} MB",
        "trained at": f"{settings['size']} pixels of the shorter side",
        "licence": licence,
    }
    head = _head(licence, None, ["base"] if config["stage"] == "base" else [], None, _link(card))
    body = own.strip().splitlines() if head_there or own.strip() else [_title(shown), "", *_list(facts)]
    return _card(head, "", [*body, *_measured(folder, {}, shown), *_use(shown, *prompts[:1])])


PAGE = "https://pypi.org/project/e2gan"


def _head(
    licence: str, base: str | None, tags: Sequence[str], prompt: str | None, link: str | None = None
) -> list[str]:
    """The YAML between two lines of dashes. JSON's texts are YAML's. link: where a licence of no common name is."""
    lines = ["library_name: e2gan", "pipeline_tag: image-to-image"]
    if licence != NOT_STATED:
        other = re.fullmatch(r"other \((.*)\)", licence)
        common = other is None and licence != "other" and re.fullmatch(r"[a-z0-9.-]+", licence) is not None
        lines += [f"license: {licence if common else 'other'}"]
        if other or (link and not common):
            lines.append(f"license_name: {json.dumps(other[1] if other else 'of-its-base', ensure_ascii=False)}")
        lines += [f"license_link: {json.dumps(link, ensure_ascii=False)}"] if link and not common else []
    lines += [f"base_model: {base}", "base_model_relation: adapter"] if base else []
    lines += [f"instance_prompt: {json.dumps(prompt, ensure_ascii=False)}"] if prompt else []
    return ["---", *lines, "tags:", *(f"- {tag}" for tag in ("e2gan", "image-to-image", *tags)), "---"]


def _link(card: str | None) -> str | None:
    """Where a card says that its licence is."""
    found = split_card(card)[0].get("license_link")
    return _flat(found) if isinstance(found, str) and found else None


def _card(head: Sequence[str], title: str, body: Sequence[str]) -> str:
    return "\n".join([*head, *([title, ""] if title else []), *body, ""])


def _title(shown: Shown) -> str:
    return f"# {shown.repository.rpartition('/')[2]}"


def _list(facts: Mapping[str, str | None]) -> list[str]:
    return [f"- {name}: {value}" for name, value in facts.items() if value]


def _use(shown: Shown, *prompt: str) -> list[str]:
    told = f", prompt={json.dumps(_flat(prompt[0]), ensure_ascii=False)}" if prompt else ""
    return [
        "",
        "## Use",
        "",
        "```python",
        "from e2gan import Predictor  # pip install e2gan",
        f'predictor = Predictor.from_pretrained("{shown.repository}"{told})',
        'predictor.edit("photo.jpg", like_given=True).save("edited.jpg")',
        "```",
    ]


def _measured(folder: Path, about: Mapping[str, Any], shown: Shown) -> list[str]:
    """What the folder tells of how good it is: its last training loss, and an evaluation's figures."""
    lines, trained = [], (about.get("metrics") or {}).get("train_l1")
    if isinstance(trained, (int, float)):
        lines.append(f"Mean L1 to the teacher at the end of the training: {trained:.1f} of 255.")
    if (folder / METRICS_FILE).is_file():
        found = read_json(folder / METRICS_FILE, MetricsFile)
        figures = {name: value for name, value in found["model"].items() if isinstance(value, (int, float))}
        photo = found["photo"]
        lines += ["", "| | edit | photo as it is |", "|---|---|---|"] if figures else []
        lines += [f"| {name} | {_figure(value)} | {_figure(photo.get(name))} |" for name, value in figures.items()]
    if shown.sheet:
        lines += ["", f"![photo, teacher, edit]({SHEET})"]
    return ["", "## Measured", "", *lines] if lines else []


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else ""


def _line(text: object) -> str:
    """A text as part of a line of Markdown."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", _flat(text))


def _flat(text: object) -> str:
    return " ".join(str(text).split())


def _named(base: Path) -> str:
    """A base as `--base` takes it, or the name of its folder."""
    return shipped_name(base) or base.name


def _parameters(path: Path) -> tuple[int, int]:
    """How many numbers a file of weights has, and bytes."""
    tensors, _ = read_tensors(path)
    return sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point()), path.stat().st_size
