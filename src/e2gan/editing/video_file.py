"""A video file that is read: what it says of itself, judged before a decoder sees it, and its frames one by one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from e2gan.core.errors import InputError
from e2gan.core.files import open_file
from e2gan.core.images import Pixels
from e2gan.core.machine import raise_machine_fault
from e2gan.core.picture_kinds import open_picture
from e2gan.editing.video_colour import Colours, orientation, upright_rgb
from e2gan.editing.video_headers import MOST_SAMPLES, check_boxes

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer
    from av.error import FFmpegError

MOST_PIXELS = 36_000_000  # of a frame: 8K has 33 million
DEMUXERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,nut"  # none that opens other files, as playlists do
DECODERS = frozenset(
    {"h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "libvpx-vp9", "mpeg4", "msmpeg4", "msmpeg4v2", "h263", "flv"}
    | {"mpeg1video", "mpeg2video", "mjpeg", "prores", "dnxhd", "dvvideo", "wmv1", "wmv2", "wmv3", "vc1", "theora"}
    | {"ffv1", "huffyuv", "ffvhuff", "utvideo", "qtrle", "png", "rawvideo", "cfhd", "rv40"}
)
MOST_SECONDS = 30 * 24 * 3600
MOST_PAUSE = 1800  # seconds from one frame to the next; containers have no room for much more
GUESSED = Fraction(25)  # frames a second of a stream that does not say
MICROSECONDS = Fraction(1, 1_000_000)
INSTALL = "pip install 'e2gan[video]'"


@dataclass(frozen=True)
class Frame:
    """pixels: uint8 (H, W, 3) RGB, upright. pts and duration: in the stream's time base. Where the file has no duration
    of a frame, it is what lies between it and the one before."""

    pixels: Pixels
    pts: int
    duration: int


class Decoder:
    """The frames of a stream, one by one. damaged: packets so far that could not be read."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.packets, self.damaged = container.demux(stream), 0

    def __iter__(self) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        while True:
            try:
                packet = next(self.packets)
            except StopIteration:
                return
            except FFmpegError as error:
                raise_fault_of_machine(error)
                self.damaged += 1
                return
            yield from self._frames_of(packet)

    def _frames_of(self, packet: Any) -> list[VideoFrame]:
        from av.error import EOFError as EndError
        from av.error import FFmpegError

        try:
            return packet.decode()
        except EndError:
            return []
        except FFmpegError:
            self.damaged += 1
            return []


@dataclass
class Clip:
    """A video that is open. first: its first frame; others: those after it, which `decoder` makes.

    width, height: upright. count: frames, as the header says or its length makes likely; None where it tells neither.
    start: of the file, in seconds. lost: what of it the edit does not have.
    """

    path: Path
    container: InputContainer
    stream: VideoStream
    first: VideoFrame
    others: Iterator[VideoFrame]
    decoder: Decoder
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.colours = Colours.of(self.first)
        matrix, found = None, cast(Any, self.first.side_data)
        with suppress(KeyError):
            matrix = bytes(found["DISPLAYMATRIX"])
        self.turn = orientation(matrix)
        self.coded = self.first.width, self.first.height
        self.width, self.height = self.coded[::-1] if self.turn % 2 else self.coded
        self.time_base = self.stream.time_base or Fraction(1, 90_000)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or GUESSED
        self.start = max(self.container.start_time or 0, 0) * MICROSECONDS
        self.usual = max(1, round(1 / (self.rate * self.time_base)))  # ticks of a frame
        self.count = self.stream.frames or round(_seconds(self.container, self.stream) * self.rate) or None
        self.lost += left_out(self)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel by its height, upright."""
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        return 1 / aspect if self.turn % 2 else aspect

    def frames(self, since: int = 1) -> Iterator[Frame]:
        """The frames from this number on, 1 for the first, in the order of time; once. What is damaged is passed over,
        and told in `lost`. Raises InputError where the time between two of them is more than MOST_PAUSE."""
        last, resized, number, step = None, False, 0, self.usual
        shift = round(self.start / self.time_base)
        for number, frame in enumerate(chain([self.first], self.others), 1):
            pts = (0 if last is None else last + self.usual) if frame.pts is None else frame.pts - shift
            if last is not None and abs(pts - last) * self.time_base > MOST_PAUSE:
                jump = f"{float(abs(pts - last) * self.time_base) / 60:,.0f} minutes"
                raise InputError(
                    f"{self.path}: its times jump by {jump} at frame {number:,}: write it anew, or cut it there"
                )
            if last is not None:
                pts = max(pts, last + 1)
                step = pts - last
            last = pts
            resized |= (frame.width, frame.height) != self.coded
            if number >= since:
                pixels = upright_rgb(frame, self.colours, self.coded, self.turn)
                yield Frame(pixels, last, frame.duration or step)
            if number >= MOST_SAMPLES:
                self.lost.append(f"what comes after its first {number:,} frames is left out")
                break
        if resized:
            self.lost.append("its frames change their size: they are brought to the first one's")
        if (told := self.stream.frames) and number < told:
            self.lost.append(f"{told - number} of the {told} frames that its header tells of are damaged or cut off")
        elif missing := self._missing(last):
            self.lost.append(f"some {missing:,} frames that its length makes likely are damaged or cut off")
        elif damaged := self.decoder.damaged:
            self.lost.append(f"it is damaged in {damaged} place{'s' * (damaged > 1)}: what can be read is edited")

    def _missing(self, last: int | None) -> int:
        """Frames between the last one's end and the length that a file tells which counts none: Matroska, WebM. Its
        sound may be longer by a second."""
        if self.stream.frames or "matroska" not in self.container.format.name:
            return 0
        told, end = _seconds(self.container, self.stream), ((last or 0) + self.usual) * self.time_base
        least = 1 if self.container.streams.audio else max(2 / self.rate, Fraction(1, 10))
        return round((told - end) * self.rate) if told - end > least else 0


def left_out(clip: Clip) -> list[str]:
    """What a video has that its edit has not, in words."""
    streams, lost = clip.container.streams, []
    covers = [stream for stream in streams.video if _is_cover(stream)]
    if covers:
        lost.append("its cover picture is left out")
    if (count := len(streams.video) - len(covers)) > 1:
        lost.append(f"only the first of its {count} video streams is edited")
    for kind, name in (("subtitles", "subtitles"), ("attachments", "attachments"), ("data", "data streams")):
        if getattr(streams, kind):
            lost.append(f"its {name} are left out")
    if any(part.is_alpha for part in _components(clip.first)):
        lost.append("its transparency is left out")
    if clip.first.interlaced_frame:
        lost.append("it is interlaced: both fields are edited as one picture")
    if note := clip.colours.note():
        lost.append(note)
    return lost


def _components(frame: VideoFrame) -> tuple[Any, ...]:
    return frame.format.components


def _is_cover(stream: VideoStream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _seconds(container: InputContainer, stream: VideoStream) -> Fraction:
    """Its length as the header has it, else 0."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return (container.duration or 0) * MICROSECONDS


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """A video that is open inside. Its first frame is decoded, which shows what its numbers mean.

    Raises InputError, one line that begins with the path, for what is no video, a picture, one without a video stream,
    of a kind that is not read, of which no frame can be decoded; and, told by the headers before memory is taken, for
    frames of more than MOST_PIXELS and for more than MOST_SAMPLES of them.
    """
    import_av()
    from av.error import FFmpegError

    with open_file(path) as file:
        if file.read(1) == b"":
            raise InputError(f"{path}: is empty")
        try:
            check_boxes(file)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    with _opened(path) as container:
        try:
            clip = _clip(path, container)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        try:
            yield clip
        except FFmpegError as error:
            raise_fault_of_machine(error)
            raise InputError(f"{path}: is damaged, or its times are not those of a video ({error.strerror})") from error


def raise_fault_of_machine(error: FFmpegError) -> None:
    """As `raise_machine_fault`, but for an input's EIO: FFmpeg says it of bytes that are damaged too."""
    if error.errno != errno.EIO:
        raise_machine_fault(error)


def import_av() -> None:
    """Raises InputError where PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError(f"videos are read by the package PyAV ({INSTALL}): install it") from None


def place(path: Path) -> str:
    """A path as FFmpeg takes it, which sees protocols in names."""
    return f"file:{path.absolute()}"


def open_container(path: Path) -> InputContainer:
    """A file by the demuxers of common videos, which open no other; nothing but files. Raises av's errors."""
    import av

    limits = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file", "max_streams": "100"}
    options = {"max_pixels": str(MOST_PIXELS)}
    return av.open(place(path), "r", options=options, container_options=limits, metadata_errors="replace")


def _opened(path: Path) -> InputContainer:
    from av.error import FFmpegError

    try:
        return open_container(path)
    except FFmpegError as error:
        raise_fault_of_machine(error)
        if (kind := _kind_of_picture(path)) is not None:
            raise InputError(f"{path}: is a picture ({kind}), not a video: give it its own ending") from None
        raise InputError(f"{path}: is no video that can be read, or is damaged") from None


def _kind_of_picture(path: Path) -> str | None:
    with suppress(Exception), open_picture(path) as picture:
        return picture.format
    return None


def _clip(path: Path, container: InputContainer) -> Clip:
    stream = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
    if stream is None:
        raise InputError(f"{'is sound alone' if container.streams.audio else 'has no video stream'}: nothing to edit")
    context = stream.codec_context
    if context is None or context.name not in DECODERS:
        raise InputError(f"is coded as {context.name if context else 'something unknown'}, which is not read")
    if context.width * context.height > MOST_PIXELS:
        most = f"up to {MOST_PIXELS // 10**6} million are read"
        raise InputError(f"frames of {context.width}×{context.height} pixels: {most}: make it smaller")
    if stream.frames > MOST_SAMPLES or _seconds(container, stream) > MOST_SECONDS:
        seconds = float(_seconds(container, stream))
        raise InputError(f"claims {stream.frames:,} frames in {seconds:,.0f} s: more than are read")
    context.options = {"max_pixels": str(MOST_PIXELS)}
    context.thread_type = "AUTO"
    decoder = Decoder(container, stream)
    frames = iter(decoder)
    first = next(frames, None)
    if first is None:
        raise InputError("no frame of it can be decoded: it is damaged, or larger than is read")
    return Clip(path, container, stream, first, frames, decoder)
