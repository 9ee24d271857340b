"""The paper's recipe as one command: photos, the teachers' pairs of every concept, and Table 3 (Sec. 5.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2gan.choose.concepts import choose_concepts
from e2gan.config import ConceptsConfig, PairsConfig, PhotosConfig, ReproduceConfig
from e2gan.core.progress import note
from e2gan.data.photos import prepare_photos
from e2gan.features.embeddings import load_embedder
from e2gan.measure.metrics import MetricScorer, NetworkOptions
from e2gan.networks.text import known_width, text_encoder
from e2gan.pairs.concept_lists import read_list
from e2gan.pairs.make import make_pair_sets
from e2gan.research.tables.models import embedding_options
from e2gan.research.tables.run import TableResult, run_table


def reproduce(config: ReproduceConfig) -> TableResult:
    """From a folder of photos to Table 3. Run again, it goes on, or finds it done.

    Writes the photo set, a pair set of each concept, the trained models and the table into `config.out`. Raises
    InputError for bad settings, and where a network that it needs later is not at hand, before anything is made.
    """
    config.check()
    base_list, evaluation_list = (read_list(name) for name in config.lists)
    _check_networks(config)
    photos = config.out / "photos"
    note(str(prepare_photos(PhotosConfig(folder=config.photos, out=photos, size=config.size, limit=config.limit))))
    sets: list[tuple[Path, ...]] = []
    for concepts in (base_list, evaluation_list):
        settings = PairsConfig(
            photos=photos,
            concepts=str(concepts.path),
            out=config.out / "pairs",
            teacher=config.teacher,
            teach=config.teach,
            seed=config.seed,
            device=config.device,
        )
        sets.append(tuple(made.folder for made in make_pair_sets(settings).sets))
    base_sets, evaluated = sets
    base_sets = tuple(folder for folder in base_sets if folder not in evaluated)  # Sec. 5.1: reserved from the others
    if config.base_count is not None:
        base_sets = _chosen(config, base_sets)
    table = run_table(config.table(evaluated, base_sets))
    assert isinstance(table, TableResult)
    return table


def _check_networks(config: ReproduceConfig) -> None:
    """Raises InputError where what Table 3 needs is not at hand: days of teachers come first."""
    MetricScorer(
        config.metric, NetworkOptions(features=config.features, inception=config.inception, device=config.device)
    )
    text_encoder(config.text, known_width(config.text) or config.generator.text_width).encode("a photo")
    embedding = config.embedding or ("facenet" if config.photos_of == "faces" else "clip")
    options = embedding_options(config, embedding)
    load_embedder(embedding, features=options.get("features"), model=options.get("model"), device=config.device)


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
