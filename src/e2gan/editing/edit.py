"""The stage `edit`: a photo or a video into a file, several or a folder of photos into a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan import __version__
from e2gan.config import EditConfig, RuntimeName
from e2gan.config.settings import fitted
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, clear_beside, read_json, sha256, write_bytes
from e2gan.core.identity import files_below, hash_pictures
from e2gan.core.images import Picture, check_file, is_blank, read_picture
from e2gan.core.names import file_key, inside, output_names
from e2gan.core.originals import list_images
from e2gan.core.outputs import partial_of, writing
from e2gan.core.picture_kinds import VIDEO_SUFFIXES, open_picture
from e2gan.core.progress import track
from e2gan.core.schemas import StageConfig
from e2gan.editing.edited import EDITS, Edited, Told, video_lines
from e2gan.editing.photo_file import FORMATS, check_sides, encode, ending, kept_exif, own_colours, with_alpha
from e2gan.editing.predictor import Predictor, side_for_paint
from e2gan.editing.provenance import Provenance
from e2gan.editing.video import check_out, edit_video
from e2gan.editing.video_file import open_clip
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.folders import (
    MODEL,
    adapter_content,
    adapter_folder,
    adapter_sha256,
    base_edit_content,
    base_folder,
    model_content,
)
from e2gan.networks.models import Model

FRAMES = 300  # that a video is taken to have, some ten seconds, where it does not say


def edit(config: EditConfig) -> Edited:
    """Edit one photo, or one video (video.py), into a file, several photos or a folder of them into a folder; each at
    its own size.

    An edit has its photo's colour profile, transparency and, as `config` says, metadata, and tells how it was made.
    Names in a folder are the photos' own, as `output_names` gives them; those of several photos that are named one by
    one have their folders before them where two would be the same. A photo's file of that name is replaced; a folder
    must be new. Raises InputError for bad settings, an unreadable photo, a folder without a readable photo,
    where the output would be the input, and NotFiniteError where the model's output is not finite.
    """
    EditConfig.checked(config)
    for path in config.input:
        if not (path.exists() or (len(config.input) > 1 and os.path.lexists(path))):  # of several, it is left out below
            raise InputError(f"{path} does not exist")
        if config.out.resolve() == path.resolve():
            raise InputError(f"--out {config.out} is the input itself: name another")
    photo = next(iter(config.input))
    several = len(config.input) > 1 or photo.is_dir()
    video = not several and is_video(photo)
    if video:
        check_out(config.out)
    model = Model.load(
        base=config.base, adapter=config.adapter, model=config.model, weights=config.weights, text=config.text
    )
    photos = _Photos.of(config) if several else None
    # A colour table is next to no work: whatever is asked for, PyTorch runs it.
    runtime = "pytorch" if isinstance(model.generator, LookUpTable) else _runtime(config)

    def prepared() -> Predictor:
        count = photos_seen(config, model, photos, video=video) if runtime == "auto" else 1
        predictor = Predictor(model, config.device, runtime, count)
        predictor.check_tile(config.tile)
        return predictor

    if photos is not None:
        return _edit_several(config, model, prepared, runtime, photos)
    predictor = prepared()
    if video:
        made_by = _provenance(config, model, predictor, _weights(config)) if config.provenance else None
        return edit_video(config, predictor, reads_of(config), made_by)
    if config.out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {config.out}: for one photo it is a file, whose ending is one of {', '.join(FORMATS)}")
    if os.path.lexists(config.out) and not config.out.is_file():
        what = "a folder" if config.out.is_dir() else "no file"
        raise InputError(f"--out {config.out} is {what}: name a file for one photo")
    picture = read_picture(photo)
    check_sides(picture.pixels, config.out.suffix)
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {config.out}: {error.strerror}") from None
    made = edit_picture(config, model, predictor, picture)
    clear_beside(config.out)
    write_bytes(config.out, made.data)
    name = str(photo)
    lost, blank = [(name, what) for what in made.lost], [name] if made.blank else []
    return Edited(config.out, photos=1, lost=lost, blank=blank, runtime=predictor.runtime, notes=predictor.notes)


def photos_seen(config: EditConfig, model: Model, photos: _Photos | None, *, video: bool) -> int:
    """How many photos of 256 pixels a side the generator sees, by which the fastest runtime is chosen: as many as there
    are photos or frames, all as large as the first."""
    photo = photos.files[0] if photos is not None else next(iter(config.input))
    width = height = model.size
    if video:
        with open_clip(photo) as clip:
            width, height, count = clip.width, clip.height, clip.count or FRAMES
    else:
        count = len(photos.files) if photos is not None else 1
        with suppress(Exception):  # what cannot be read is told where it is edited
            check_file(photo)
            with open_picture(photo) as picture:
                width, height = picture.size
    own = max(1, min(width, height))
    way = model.detail if config.detail == "auto" else config.detail
    default = model.size if way == "guided" else side_for_paint(model.size, own)
    side = own if config.side == 0 else min(own, config.side or default)
    return max(1, round(count * side**2 * max(width, height) / own / 256**2))


def _runtime(config: EditConfig) -> RuntimeName:
    """The runtime that is asked for; for auto, that of a folder that is there, so that a rerun finds it, or goes on."""
    for folder in (config.out, partial_of(config.out)) if config.runtime == "auto" else ():
        # Where it is no folder of ours, or no name that a folder may have, who writes there says so.
        with suppress(InputError, OSError):
            if (folder / CONFIG).is_file():
                found = read_json(folder / CONFIG, StageConfig)
                if found["stage"] == "edit":
                    return fitted(found["settings"].get("runtime", "pytorch"), RuntimeName, "runtime")
    return config.runtime


def edit_picture(config: EditConfig, model: Model, predictor: Predictor, picture: Picture) -> Made:
    """A picture's edit as the file `out` of the settings, whose ending says its kind; it is not written. Raises
    NotFiniteError, and InputError where the kind has no room for it, as `edit` does."""
    check_sides(picture.pixels, config.out.suffix)
    xmp = _provenance(config, model, predictor, _weights(config)).xmp() if config.provenance else None
    return _edited(config, predictor, picture, config.out.suffix, xmp)


@dataclass(frozen=True)
class Made:
    """An edit as a file's bytes. lost: what of the photo is not in it. blank: whether it is one flat colour."""

    data: bytes
    lost: list[str]
    blank: bool


def _edited(config: EditConfig, predictor: Predictor, picture: Picture, suffix: str, xmp: bytes | None) -> Made:
    """The edit of a photo, as a file with this ending."""
    edited = predictor.edit(
        picture.pixels, strength=config.strength, side=config.side, tile=config.tile, detail=config.detail
    )
    lost = []
    if picture.frames > 1:
        lost.append(f"only the first of its {picture.frames} frames is edited")
    if picture.captions and config.metadata != "none":
        lost.append("its captions, ratings and comments (XMP, IPTC, texts) are left out")
    image = own_colours(picture, edited, config.strength)
    if picture.alpha is not None:
        if FORMATS[suffix.lower()] == "JPEG":
            lost.append("its transparency lies over white: a JPEG has none")
        else:
            image = with_alpha(image, picture.alpha)
    exif, all_kept = kept_exif(picture.exif, config.metadata, image.shape[1], image.shape[0])
    if not all_kept:
        lost.append("some of its EXIF data is damaged, or too long, and left out")
    dpi = None if config.metadata == "none" else picture.dpi
    data = encode(image, suffix, profile=picture.profile, exif=exif, xmp=xmp, dpi=dpi)
    return Made(data, lost, blank=is_blank(picture.pixels, edited))


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _provenance(config: EditConfig, model: Model, predictor: Predictor, hashes: Sequence[str]) -> Provenance:
    """What the edits say of how they were made. hashes: of `_weights`."""
    count = len(config.adapter)
    made_by = {"model": hashes[0]} if config.model is not None else {"base": hashes[0]}
    weights = config.weights or (1 / max(1, count),) * count
    return Provenance(
        version=__version__,
        effect=model.prompt,
        strength=config.strength,
        adapters=list(zip(hashes[1:], weights, strict=True)),
        table=isinstance(predictor.generator, LookUpTable),
        **made_by,
    )


@dataclass(frozen=True)
class _Photos:
    """Photos to edit into a folder. own: the names that their outputs' follow. shown: what they are, for messages.
    given: what the settings say of them. videos: those that lie or are named beside them."""

    files: list[Path]
    own: list[Path]
    shown: str
    given: Any
    videos: Sequence[str] = ()

    @classmethod
    def of(cls, config: EditConfig) -> _Photos:
        """Raises InputError for an empty folder, an output inside of it, and for a folder among several photos."""
        if len(config.input) > 1:
            if folder := next((path for path in config.input if path.is_dir()), None):
                raise InputError(f"{folder} is a folder: name one folder alone, or photos alone")
            videos = [str(path) for path in config.input if is_video(path)]
            files = [path for path in config.input if not is_video(path)]
            if not files:
                raise InputError("these are videos: edit each by itself")
            own = [Path(file.name) for file in files]
            if len(set(map(file_key, own))) < len(own):
                whole = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 (a link keeps its name)
                common = Path(os.path.commonpath([file.parent for file in whole]))
                own = [file.relative_to(common) for file in whole]
            return cls(files, own, f"the {len(files)} files", [*map(str, config.input)], videos)
        folder = next(iter(config.input))
        if config.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"--out {config.out} lies inside the input, the folder {folder}: name a folder elsewhere")
        files = list_images(folder)
        videos = [path.relative_to(folder).as_posix() for path in files_below(folder) if is_video(path)]
        if not files:
            raise InputError("; ".join([f"{folder} holds no photos", *video_lines(videos)]))
        own = [file.relative_to(folder) for file in files]
        return cls(files, own, str(folder), folder, videos)


def _edit_several(
    config: EditConfig, model: Model, prepared: Callable[[], Predictor], runtime: RuntimeName, photos: _Photos
) -> Edited:
    """prepared: the predictor, which takes a while to make; runtime: what it would run on."""
    files, own = photos.files, photos.own
    if taken := next((path for path in own if file_key(path.parts[0]) in (CONFIG, EDITS)), None):
        raise InputError(f"{taken.parts[0]} is the name of a file that the output has: rename the folder")
    names = [name.as_posix() for name in output_names(own, ending)]
    fields = ("base", "adapter", "weights", "model", "strength", "side", "tile", "metadata", "provenance")
    settings = {name: getattr(config, name) for name in fields}
    weights = _weights(config)
    settings |= {"weights_sha256": weights, "photos_sha256": _state(files)}
    reads = reads_of(config)
    reads |= {"input": hash_pictures((name.as_posix(), file) for name, file in zip(own, files, strict=True))}
    # A folder that is there already is most often what is asked for: it says what ran.
    predictor = None if runtime != "auto" and (config.out / CONFIG).is_file() else prepared()
    detail = model.detail if config.detail == "auto" else config.detail
    ran = runtime if predictor is None else predictor.runtime
    resumed = 0
    settings |= {"input": photos.given, "detail": detail, "runtime": ran}
    with writing(config.out, "edit", settings, reads=reads, resumes=True) as partial:
        if partial is None:
            told = Told.of_result(config.out).summary()
            if not (config.out / EDITS).exists():  # an earlier version's
                told["photos"] = sum((config.out / name).is_file() for name in names)
            return Edited(out=config.out, already_done=True, videos=photos.videos, runtime=ran, **told)
        predictor = predictor or prepared()
        xmp = _provenance(config, model, predictor, weights).xmp() if config.provenance else None
        earlier = not os.path.lexists(partial / EDITS) and any((partial / name).exists() for name in names)
        told = Told.of_work(partial, names)
        for file, source, name in track(list(zip(files, own, names, strict=True)), "editing"):
            target = inside(partial, name)
            if target.is_file() and (earlier or told.has(name)):  # of a run that was stopped
                resumed += 1
                if earlier:  # that told nothing
                    told.add(name, str(source))
                continue
            try:
                picture = read_picture(file)
                check_sides(picture.pixels, Path(name).suffix)
            except InputError as error:
                told.add(name, str(source), skipped=str(error))
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            made = _edited(config, predictor, picture, target.suffix, xmp)
            told.add(name, str(source), lost=made.lost, blank=made.blank)
            write_bytes(target, made.data)
        found = told.summary()
        if not found["photos"]:
            name, reason = found["skipped"][0]
            raise InputError(f"no photo of {photos.shown} could be read ({name}: {reason})")
        told.finish(names)
    return Edited(config.out, resumed=resumed, videos=photos.videos, runtime=ran, notes=predictor.notes, **found)


def reads_of(config: EditConfig) -> dict[str, Any]:
    """Hashes of what decides an edit beside the photo: the networks' weights, the prompt's tokens, sizes and detail."""
    if config.model is not None:
        return {"model": model_content(config.model)}
    base = base_folder(config.base, *config.adapter[:1])
    adapters = [adapter_content(a) for a in config.adapter]
    return {"base": base_edit_content(base), "adapter": adapters}


def _weights(config: EditConfig) -> list[str]:
    """The weights alone, which is what earlier versions told apart."""
    if config.model is not None:
        return [sha256(config.model / MODEL)]
    base = base_folder(config.base, *config.adapter[:1])
    return [sha256(base / MODEL), *(adapter_sha256(adapter_folder(a)) for a in config.adapter)]


def _state(files: list[Path]) -> str:
    """Which photos a folder holds, by name, size and time: what earlier versions knew them by."""
    facts = [(str(file), stat.st_size, stat.st_mtime_ns) for file in files if (stat := _stat(file))]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _stat(file: Path) -> os.stat_result | None:
    """None for a link to nothing, which is skipped where it is read."""
    try:
        return file.stat()
    except OSError:
        return None
