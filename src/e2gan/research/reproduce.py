"""The paper's recipe as one command: photos, the teachers' pairs of every concept, and Table 3 (Sec. 5.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2gan.choose.concepts import choose_concepts
from e2gan.config import KEPT, ConceptsConfig, PairsConfig, PhotosConfig, ReproduceConfig
from e2gan.core.errors import InputError
from e2gan.core.names import prompt_key
from e2gan.core.progress import note
from e2gan.data.photos import PhotoSet, prepare_photos
from e2gan.features.embeddings import load_embedder
from e2gan.measure.metrics import L1, MetricScorer, NetworkOptions
from e2gan.networks.models import build_generator
from e2gan.pairs.make import make_pair_sets, plan_pair_sets
from e2gan.pairs.scores import EditScores, ScoreModels
from e2gan.research.tables.models import check_text, embedding_options
from e2gan.research.tables.run import TableResult, run_table


def reproduce(config: ReproduceConfig) -> TableResult:
    """From a folder of photos to Table 3. Run again, it goes on, or finds it done.

    Writes the photo set, a pair set of each concept, the trained models and the table into `config.out`. Raises
    InputError for bad settings, and where something that is needed later is not at hand, before the teachers begin.
    """
    ReproduceConfig.checked(config)
    base_pairs, evaluation_pairs = (_pairs(config, name) for name in config.lists)
    both = _concepts_in_both(config, _prompts(base_pairs), _prompts(evaluation_pairs))
    _check_networks(config)
    photos = PhotosConfig(folder=config.photos, out=config.out / "photos", size=config.size, limit=config.limit)
    note(str(prepare_photos(photos)))
    keep = config.keep[0] if config.keep else KEPT
    photo_set = PhotoSet.load(photos.out)
    train, test = (len(photo_set.split(split)) for split in ("train", "test"))
    if train < keep:
        raise InputError(f"--keep {keep}: {photos.out} has only {train} training photos; the paper keeps half of them")
    if test < 2 and config.metric != L1:
        raise InputError(f"--metric {config.metric} needs 2 test photos at least; {photos.out} has {test}: take more")
    base_sets, evaluated = (
        tuple(made.folder for made in make_pair_sets(pairs).sets) for pairs in (base_pairs, evaluation_pairs)
    )
    if config.base_count is not None:
        # Those in both come along: Table 3 leaves them out, and says so.
        left = tuple(folder for folder in base_sets if folder not in both)
        base_sets = (*_chosen(config, left), *sorted(both))
    table = run_table(config.table(evaluated, base_sets))
    assert isinstance(table, TableResult)
    return table


def _pairs(config: ReproduceConfig, concepts: str) -> PairsConfig:
    """The pair sets of a list of concepts."""
    return PairsConfig(
        photos=config.out / "photos",
        concepts=concepts,
        out=config.out / "pairs",
        teacher=config.teacher,
        teach=config.teach,
        seed=config.seed,
        device=config.device,
    )


def _prompts(pairs: PairsConfig) -> dict[Path, str]:
    """The folder of each concept's pair set → its prompt. Raises InputError where its teachers are not at hand."""
    try:
        return {one.out: one.concept or "" for one in plan_pair_sets(pairs)[1]}
    except InputError as error:
        raise InputError(str(error).replace("--model", "--teacher-model")) from None


def _concepts_in_both(config: ReproduceConfig, trained: dict[Path, str], evaluated: dict[Path, str]) -> set[Path]:
    """Folders of concepts that are in both lists.

    Raises InputError where one name means two prompts, and where too few are left for the base.
    """
    both = trained.keys() & evaluated.keys()
    for folder in sorted(both):
        if prompt_key(trained[folder]) != prompt_key(evaluated[folder]):
            raise InputError(f"both lists have a concept '{folder.name}', of different prompts: give one another name")
    for folder in sorted(both):
        note(f'"{trained[folder]}" is in both lists: it is evaluated on, and left out of the base (Sec. 5.1)')
    left, wanted = len(trained) - len(both), config.base_count or 1
    if left < wanted:
        raise InputError(f"--keep-concepts {wanted}: {config.lists[0]} has {left} concepts that are not evaluated on")
    return both


def _check_networks(config: ReproduceConfig) -> None:
    """Raises InputError where a network that comes after the teachers, who take days, is not at hand."""
    MetricScorer(
        config.metric, NetworkOptions(features=config.features, inception=config.inception, device=config.device)
    )
    check_text(config)
    embedding = config.compares_by(faces=config.faces)
    if embedding.endswith(".npy"):
        raise InputError(f"--embedding {embedding} is of photos, and the recipe compares concepts too: name a kind")
    options = embedding_options(config, embedding)
    load_embedder(embedding, features=options.get("features"), model=options.get("model"), device=config.device)
    teach = config.teach
    EditScores(ScoreModels(prompt="an edit", clip=teach.clip, preference=teach.preference), config.device)
    build_generator("comodgan", config.generator, config.size)


def _chosen(config: ReproduceConfig, sets: tuple[Path, ...]) -> tuple[Path, ...]:
    """The base's concepts, by clustering, for which faces too are compared by CLIP (Sec. 4.2.1)."""
    if config.embedding in (None, "facenet"):
        options = embedding_options(replace(config, model=None), "clip")
    else:
        options = embedding_options(config, config.embedding)
    settings = ConceptsConfig(
        pairs=sets, keep=config.base_count or len(sets), out=config.out / "concepts.json", **options
    )
    chosen = choose_concepts(settings)
    note(str(chosen))
    return tuple(Path(concept.pairs) for concept in chosen.keep)
