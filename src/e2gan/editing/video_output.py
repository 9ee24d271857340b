"""A video file that is written: whole groups of pictures, each a file of its own, and all as one with the sound.

Each group begins with a key frame and is coded by itself, so that a run that goes on after a stop comes to the same
frames; no frame depends on a later one, so that packets come in the order of time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError
from e2gan.core.files import whole_file
from e2gan.editing.video_colour import Colours, to_frame
from e2gan.editing.video_file import Clip, Frame, open_container, place, raise_fault_of_machine

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import OutputContainer

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Coder of sound where the container cannot hold the video's own, and its samples a second.
SOUND = {"mp4": ("aac", None), "mov": ("aac", None), "matroska": ("aac", None), "webm": ("libopus", 48_000)}
GROUP = 60  # frames, two seconds at 30 a second: what a stop loses at most
THREADS = 4  # on any machine: the coder's decisions depend on it
VP9_SCALE = 63 / 51  # VP9 has constant rate factors up to 63, H.264 up to 51


@dataclass(frozen=True)
class Coder:
    """How frames are coded. kind: of the container."""

    kind: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    colours: Colours
    pixel_aspect: Fraction
    crf: int

    @classmethod
    def of(cls, clip: Clip, suffix: str, crf: int) -> Coder:
        """For the edit of a clip, in a file with this ending. Raises InputError where this PyAV lacks the coder."""
        kind = CONTAINERS[suffix.lower()]
        made = cls(
            kind, clip.width, clip.height, clip.time_base, clip.rate, clip.colours.written(), clip.pixel_aspect, crf
        )
        import av

        if made.name not in av.codecs_available:
            raise InputError(f"this PyAV has no {made.name}, which {suffix} needs: install another build of it")
        return made

    @property
    def name(self) -> str:
        return "libvpx-vp9" if self.kind == "webm" else "libx264"

    @property
    def even(self) -> bool:
        """Whether H.264, which has its colours at half the resolution, makes odd sides even."""
        return self.kind != "webm"

    def stream(self, container: OutputContainer) -> VideoStream:
        """A stream of such frames in a container."""
        vp9 = {"crf": str(round(self.crf * VP9_SCALE)), "b:v": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
        h264 = {"crf": str(self.crf), "preset": "medium", "bf": "0"}
        options = (vp9 if self.kind == "webm" else h264) | {"g": str(10 * GROUP)}
        stream: Any = container.add_stream(self.name, rate=self.rate, options=options, time_base=self.time_base)
        context = stream.codec_context
        even = 2 if self.even else 1
        context.width, context.height = (-(-side // even) * even for side in (self.width, self.height))
        context.pix_fmt, context.time_base, context.thread_count = "yuv420p", self.time_base, THREADS
        context.sample_aspect_ratio = self.pixel_aspect
        for name, value in self.colours.tags().items():
            setattr(context, name, value)
        return stream


@dataclass(frozen=True)
class Written:
    """How many frames a group has; how long the last one is shown, and until when, in ticks."""

    count: int = 0
    duration: int = 1
    end: int = 0


def write_group(path: Path, coder: Coder, frames: Iterable[Frame]) -> Written:
    """A file of these frames, whole or not at all; the first is a key frame. NUT, which keeps any time base."""
    import av

    written = Written()

    with whole_file(path) as beside, av.open(place(beside), "w", format="nut") as container:
        stream = coder.stream(container)
        for frame in frames:
            picture = to_frame(frame.pixels, coder.colours, even=coder.even)
            picture.pts, picture.time_base, picture.duration = frame.pts, coder.time_base, frame.duration
            container.mux(stream.encode(picture))
            written = Written(written.count + 1, frame.duration, frame.pts + frame.duration)
        container.mux(stream.encode())
    return written


def join(
    out: Path,
    clip: Clip,
    coder: Coder,
    groups: Sequence[Path],
    *,
    last: int,
    texts: Mapping[str, str],
    until: Fraction | None = None,
) -> list[str]:
    """All groups as one file, whole or not at all, with the clip's sound.

    last: ticks of the clip for which the last frame is shown. texts: metadata. until: seconds at which the sound ends,
    with the pictures, where they are not all; else all of it is there. Sound that the container can hold is copied as
    it is, other sound coded anew. Returns what became of the sound, where it is another.
    """
    import av

    options = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if coder.kind in ("mp4", "mov") else {})
    with (
        whole_file(out) as beside,
        open_container(clip.path) as source,
        av.open(place(beside), "w", format=coder.kind, container_options=options) as container,
    ):
        video = coder.stream(container)
        container.metadata.update(texts)
        tracks = [_Track.of(stream, container, coder.kind) for stream in source.streams.audio]
        container.start_encoding()
        pictures = _pictures(groups, video, last * clip.time_base)
        sound = _sound(source, [track for track in tracks if track is not None], clip.start)
        if until is not None:
            sound = takewhile(lambda timed: timed[0] < until, sound)
        for _, packet in heapq.merge(pictures, sound, key=lambda timed: timed[0]):
            container.mux_one(packet)
    told = []
    for stream, track in zip(clip.container.streams.audio, tracks, strict=True):
        if track is None:
            told.append("its sound is of a kind that is not known, and is left out")
        elif track.coded:
            told.append(f"its sound ({stream.name}) does not go into {out.suffix}: it is coded anew ({track.out.name})")
    return told


Timed = tuple[Fraction, Any]  # seconds, and the packet of that time


def _pictures(groups: Sequence[Path], stream: VideoStream, last: Fraction) -> Iterator[Timed]:
    """The packets of all groups. The duration of each is what lies between it and the next, and of the last `last`,
    in seconds: a group's ticks may be finer than the clip's."""
    import av

    before: Timed | None = None
    for path in groups:
        with av.open(place(path), "r", format="nut") as container:
            packets: Iterator[Any] = container.demux(video=0)
            for packet in packets:
                if packet.dts is None:  # the end
                    continue
                base = packet.time_base
                packet.stream, packet.time_base = stream, base
                if before is not None:
                    before[1].duration = packet.pts - before[1].pts
                    yield before
                before = packet.pts * base, packet
    if before is not None:
        before[1].duration = round(last / before[1].time_base)
        yield before


@dataclass
class _Track:
    """A stream of sound that is read, and the one that is written. coded: anew."""

    source: AudioStream
    out: AudioStream
    coded: bool = False
    resampler: Any = None

    @classmethod
    def of(cls, source: AudioStream, container: OutputContainer, kind: str) -> _Track | None:
        """None for sound that no decoder knows."""
        from av.error import FFmpegError

        if source.codec_context is None:
            return None
        try:
            out: Any = container.add_stream_from_template(source)
        except (ValueError, FFmpegError):
            return cls._coded(source, container, kind)
        out.metadata.update({name: value for name, value in source.metadata.items() if name in ("language", "title")})
        return cls(source, out)

    @classmethod
    def _coded(cls, source: AudioStream, container: OutputContainer, kind: str) -> _Track:
        from av import AudioResampler

        name, rate = SOUND[kind]
        context = source.codec_context
        rate = rate or min(context.sample_rate, 48_000)
        out: Any = container.add_stream(name, rate=rate)
        layout = context.layout.name if context.layout.nb_channels in (1, 2) else "stereo"
        out.codec_context.layout = layout
        out.codec_context.bit_rate = 192_000
        out.codec_context.open()
        resampler = AudioResampler(out.codec_context.format, layout, rate, out.codec_context.frame_size or None)
        return cls(source, out, coded=True, resampler=resampler)

    def packets(self, packet: Any | None, start: Fraction) -> Iterator[Timed]:
        """What one that was read becomes; None at the end."""
        base = self.source.time_base or Fraction(1, 48_000)
        if not self.coded:
            if packet is not None and packet.dts is not None:
                shift = round(start / base)
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self.out
                yield packet.dts * base, packet
            return
        frames = [] if packet is None else packet.decode()
        made = chain.from_iterable(self.resampler.resample(frame) for frame in (*frames, *([None] * (packet is None))))
        for frame in (*made, *([None] * (packet is None))):
            if frame is not None and frame.pts is not None:
                frame.pts -= round(start / frame.time_base)
            for coded in self.out.encode(frame):
                yield (coded.dts or 0) * coded.time_base, coded


def _sound(source: Any, tracks: Sequence[_Track], start: Fraction) -> Iterator[Timed]:
    """The packets of all tracks, as far as they can be read."""
    from av.error import FFmpegError, InvalidDataError

    if not tracks:
        return
    by_index = {track.source.index: track for track in tracks}
    packets = source.demux([track.source for track in tracks])
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            raise_fault_of_machine(error)
            packet = None
        if packet is None:
            break
        if packet.dts is not None:
            with suppress(InvalidDataError):
                yield from by_index[packet.stream_index].packets(packet, start)
    for track in tracks:
        yield from track.packets(None, start)
