"""Files that are small or sparse on disk and ask for far more as they are read; and things that are no files."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

GIB = 2**30

# -- what is no file, or larger than anything that is read ------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has at most 107 letters
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.chdir(here)


def zeros(path: Path) -> None:
    """100 GiB that take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(100 * GIB)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


THINGS: dict[str, Callable[[Path], None]] = {f.__name__: f for f in (fifo, folder, device, bound_socket, zeros, loop)}

# -- texts ------------------------------------------------------------------------------------------------------------


def many_lists(path: Path) -> None:
    """48 MB of empty lists, each of which takes twenty times as much."""
    path.write_bytes(b"[" + b"[]," * (16 * 2**20) + b"[]]")


def long_line(path: Path) -> None:
    path.write_bytes(b'{"a": "' + b"x" * (40 * 2**20) + b'"}')


def many_keys(path: Path) -> None:
    path.write_bytes(b"{" + b",".join(b'"%d":0' % i for i in range(3_000_000)) + b"}")


def many_lines(path: Path) -> None:
    path.write_bytes(b"{}\n" * (16 * 2**20))


def dots(path: Path) -> None:
    """A TOML key of tables in each other."""
    path.write_bytes(b"a" + b".a" * 200_000 + b" = 1\n")


def digits(path: Path) -> None:
    path.write_bytes(b"9" * 4_000_000)


TEXTS = {f.__name__: f for f in (many_lists, long_line, many_keys, many_lines, dots, digits)}

# -- pictures ---------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, width: int, height: int, depth: int, colour: int, *more: bytes, rows: bytes | None = None) -> None:
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if rows is None:
        deflate = zlib.compressobj(9)
        line = bytes(1 + (width * samples * depth + 7) // 8)
        rows = b"".join([deflate.compress(line) for _ in range(height)]) + deflate.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more)
    if colour == 3:
        data += chunk(b"PLTE", bytes(768))
    path.write_bytes(data + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def png_deep(path: Path) -> None:
    """196 million pixels of 16 bits."""
    png(path, 14_000, 14_000, 16, 0)


def png_deep_alpha(path: Path) -> None:
    png(path, 14_000, 14_000, 16, 6)


def png_vast(path: Path) -> None:
    png(path, 2**31 - 1, 2**31 - 1, 8, 2, rows=zlib.compress(bytes(1000)))


def png_profile(path: Path) -> None:
    """A colour profile of 4 GiB, deflated twice over as zeros are."""
    deflate = zlib.compressobj(9)
    data = b"".join([deflate.compress(bytes(2**24)) for _ in range(256)]) + deflate.flush()
    png(path, 8, 8, 8, 2, chunk(b"iCCP", b"a\0\0" + data))


def png_texts(path: Path) -> None:
    text = zlib.compress(bytes(15 * 2**20), 9)
    png(path, 8, 8, 8, 2, *[chunk(b"zTXt", b"k%d\0\0" % i + text) for i in range(400)])


def png_frames(path: Path) -> None:
    many = [chunk(b"fcTL", struct.pack(">IIIIIHHBB", i, 8, 8, 0, 0, 1, 10, 0, 0)) for i in range(300_000)]
    png(path, 8, 8, 8, 2, chunk(b"acTL", struct.pack(">II", 300_000, 0)), *many)


def png_chunk(path: Path) -> None:
    """A chunk of 2 GB of EXIF data, of which the disk has nothing."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 2**31 - 1) + b"eXIf")
        file.truncate(2**31 + 100)


def jpeg(**more: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (1, 64, 3))).save(data, "JPEG", **more)
    return data.getvalue()


def jpeg_zeros(path: Path) -> None:
    """A good JPEG with 3 GiB of zeros behind it."""
    with path.open("wb") as file:
        file.write(jpeg())
        file.truncate(3 * GIB)


def jpeg_profile(path: Path) -> None:
    path.write_bytes(jpeg(icc_profile=bytes(36) + b"acsp" + bytes(16_000_000)))


def jpeg_vast(path: Path) -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65535, 65535)
    path.write_bytes(data)


def exif_overlapping(entries: int = 5000, size: int = 60_000) -> bytes:
    """EXIF data in which all values lie in the same place."""
    count = size // 8
    start = 8 + 2 + 12 * 1 + 4
    inner = struct.pack("<H", entries)
    for tag in range(entries):
        inner += struct.pack("<HHII", 0x9000 + tag, 5, (count - 2) // 1, 8)
    inner += struct.pack("<I", 0)
    outer = struct.pack("<HHHIII", 1, 0x8769, 4, 1, start, 0)
    data = b"II*\0" + struct.pack("<I", 8) + outer + inner
    return b"Exif\0\0" + data + bytes(max(0, size - len(data)))


def jpeg_exif(path: Path) -> None:
    """Values of 2 GB within 60 KB."""
    path.write_bytes(jpeg(exif=exif_overlapping(4500, 64_000)))


def webp_vast(path: Path) -> None:
    """A canvas of 16383×16383, with one small frame."""
    data = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    found = bytearray(data.getvalue())
    at = found.index(b"VP8X") + 12
    found[at : at + 6] = (16382).to_bytes(3, "little") * 2
    path.write_bytes(found)


def webp_frames(path: Path) -> None:
    data = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    found = data.getvalue()
    at = found.index(b"ANMF")
    frame = found[at:]
    body = found[8:] + frame * 150_000
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def avif_vast(path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "AVIF")
    found = bytearray(data.getvalue())
    at = found.index(b"ispe") + 8
    found[at : at + 8] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    path.write_bytes(found)


def gif_frames(path: Path) -> None:
    data = io.BytesIO()
    frames = [Image.new("P", (8, 8), i) for i in range(3)]
    for i, frame in enumerate(frames):
        frame.putpalette([*range(256)] * 3)
        frame.putpixel((0, 0), 200 + i)
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    found = data.getvalue()
    last = found.rindex(b"\x21\xf9")
    path.write_bytes(found[:-1] + found[last:-1] * 1_000_000 + b";")


def gif_vast(path: Path) -> None:
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\1\0\0;")


def tiff(path: Path, tags: list[tuple[int, int, int, int]], data: bytes = b"", pages: int = 1) -> None:
    """Tags as (tag, type, count, value or place); one page, again and again."""
    size = 2 + 12 * len(tags) + 4
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    after = [8 + size * page for page in range(1, pages)] + [0]
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(table + struct.pack("<I", at) for at in after) + data)


def tiff_tags(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height)}
    tags |= {tag: rest for tag, *rest in more}  # type: ignore[misc]
    return [(tag, *rest) for tag, rest in sorted(tags.items())]  # type: ignore[misc]


def tiff_frames(path: Path) -> None:
    tiff(path, tiff_tags(8, 8), bytes(64), pages=200_000)


def tiff_strip(path: Path) -> None:
    """6 KB wide, compressed, with a strip that says it has four thousand million rows."""
    tiff(path, tiff_tags(6000, 30_000, (259, 3, 1, 8), (278, 4, 1, 2**32 - 1), (279, 4, 1, 6000)), bytes(6000))


def tiff_tile(path: Path) -> None:
    tags = tiff_tags(64, 64, (259, 3, 1, 8), (322, 4, 1, 2**17), (323, 4, 1, 2**17), (324, 4, 1, 8), (325, 4, 1, 6000))
    tiff(path, [tag for tag in tags if tag[0] not in (273, 278, 279)], bytes(6000))


def tiff_tile_raw(path: Path) -> None:
    tags = tiff_tags(64, 64, (322, 4, 1, 2**20), (323, 4, 1, 2**20), (324, 4, 1, 8), (325, 4, 1, 6000))
    tiff(path, [tag for tag in tags if tag[0] not in (273, 278, 279)], bytes(6000))


def tiff_many_tiles(path: Path) -> None:
    tags = tiff_tags(14_000, 14_000, (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, 1, 8), (325, 4, 1, 1))
    tiff(path, [tag for tag in tags if tag[0] not in (273, 278, 279)], bytes(6000))


def tiff_overlapping(path: Path) -> None:
    """2,000 values of 8 MB, all in the same place."""
    more = [(50_000 + i, 1, 8_000_000, 8) for i in range(2000)]
    tiff(path, tiff_tags(8, 8, *more), bytes(8_000_000))


def tiff_sparse(path: Path) -> None:
    """A value of 3 GB, of which the disk has nothing."""
    tiff(path, tiff_tags(8, 8, (50_000, 1, 3 * 10**9, 8)), bytes(64))
    with path.open("r+b") as file:
        file.truncate(3 * 10**9 + 1000)


def tiff_floats(path: Path) -> None:
    """196 million floats of zero, deflated."""
    rows = zlib.compress(bytes(4 * 14_000 * 14_000), 9)
    tags = tiff_tags(14_000, 14_000, (258, 3, 1, 32), (259, 3, 1, 8), (339, 3, 1, 3), (279, 4, 1, len(rows)))
    place = 8 + 2 + 12 * len(tags) + 4
    tags = [(t, k, n, place if t == 273 else v) for t, k, n, v in tags]
    tiff(path, tags, rows)


def bmp_vast(path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "BMP")
    found = bytearray(data.getvalue())
    found[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    path.write_bytes(found)


def ppm_digits(path: Path) -> None:
    path.write_bytes(b"P6 " + b"9" * 5_000_000 + b" 8 255\n" + bytes(100))


def ppm_vast(path: Path) -> None:
    path.write_bytes(b"P6 100000 100000 255\n" + bytes(100))


PICTURES: dict[str, tuple[str, Callable[..., Any]]] = {
    name: (name.partition("_")[0], f)
    for name, f in list(globals().items())
    if callable(f)
    and name.partition("_")[0] in ("png", "jpeg", "webp", "avif", "gif", "tiff", "bmp", "ppm")
    and "_" in name
    and name != "tiff_tags"
}
ImageFile.MAXBLOCK = 2**24


# -- weights and settings ---------------------------------------------------------------------------------------------


def header_of(path: Path) -> tuple[dict[str, dict[str, object]], bytes]:
    """A safetensors file's header, and its tensors' bytes."""
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def write_header(path: Path, header: dict[str, dict[str, object]], body: bytes = b"") -> None:
    text = json.dumps(header).encode()
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def vast_tensor(path: Path) -> None:
    """A tensor of 48 GiB after the others, of which the disk has nothing, but the header all."""
    header, body = header_of(path)
    count = 12 * GIB
    header["more"] = {"dtype": "F32", "shape": [count], "data_offsets": [len(body), len(body) + 4 * count]}
    write_header(path, header, body)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 4 * count)


def vast_shape(path: Path) -> None:
    """The first tensor is a thousand times as large, and so is the sparse file."""
    header, _ = header_of(path)
    first = next(name for name in header if name != "__metadata__")
    at = 0
    for name, entry in header.items():
        if name != "__metadata__":
            shape = list(entry["shape"])  # type: ignore[call-overload]
            shape[:1] = [shape[0] * 2**22] if name == first else shape[:1]
            size = int(np.prod(shape, dtype=object)) * (8 if entry["dtype"] == "I64" else 4)
            header[name] = {"dtype": entry["dtype"], "shape": shape, "data_offsets": [at, at + size]}
            at += size
    write_header(path, header)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + at)


def many_tensors(path: Path) -> None:
    header: dict[str, dict[str, object]] = {
        f"layer{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(200_000)
    }
    write_header(path, header)


def vast_header(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b'{"a": "')
        file.truncate(100_000_000)


def endless_header(path: Path) -> None:
    path.unlink()
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")


def of_type(path: Path, kind: str) -> None:
    header, body = header_of(path)
    for entry in header.values():
        if entry.get("dtype") == "F32":
            shape = list(entry["shape"])  # type: ignore[call-overload]
            wide = {"I8": 4, "C64": 1}[kind]
            if wide == 1 and (not shape or shape[-1] % 2):
                continue
            entry |= {"dtype": kind, "shape": [*shape, wide] if wide > 1 else [*shape[:-1], shape[-1] // 2]}
    write_header(path, header, body)


def bytes_of_8_bits(path: Path) -> None:
    of_type(path, "I8")


def complex_numbers(path: Path) -> None:
    of_type(path, "C64")


WEIGHTS = (vast_tensor, vast_shape, many_tensors, vast_header, endless_header, bytes_of_8_bits, complex_numbers)
WEIGHTS = {f.__name__: f for f in WEIGHTS}
GENERATOR = {
    "width": [2048, 4096, 2**31],
    "blocks": [256, 10**6, 2**62],
    "text_width": [65536, 2**40],
    "heads": [2**40],
}
SETTINGS: list[tuple[str, tuple[str, ...], object]] = [
    *(("base/config.json", ("settings", "generator", name), v) for name, values in GENERATOR.items() for v in values),
    *(("model/config.json", ("settings", "generator", name), v) for name, values in GENERATOR.items() for v in values),
    *(("model/config.json", ("settings", "model"), kind) for kind in ("pix2pix-unet", "comodgan", "lut")),
    *(("base/config.json", ("settings", "size"), v) for v in (-64, 0, 10**12, 2**31)),
    *(("adapter/e2gan.json", ("size",), v) for v in (-64, 0, 10**12)),
    *(("adapter/adapter_config.json", ("rank_pattern",), {".*": v}) for v in (10**9, 2**62)),
    ("adapter/adapter_config.json", ("lora_alpha",), 1e300),
    ("model/config.json", ("settings", "lut_size"), 100_000),
]
