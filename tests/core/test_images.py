"""Any image file that a person has: read as it looks, or refused in one line."""

from __future__ import annotations

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from e2gan.core.errors import InputError
from e2gan.core.images import (
    encode_jpeg,
    encode_png,
    read_image,
    read_picture,
    resize,
    square,
    write_png,
)
from tests.core.profiles import LINEAR, WIDE, as_in, save, smooth


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth colours with a bright top left corner, so that every turn of it looks different."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 200, (4, 5, 3), np.uint8))
    image = np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))
    image[: height // 4, : width // 4] = (250, 240, 230)
    return image


def png_header(width: int, height: int) -> bytes:
    """A PNG file of this size with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).max())


# ----------------------------------------------------------------------------------------------------- read as it looks


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = picture()
    # How a camera held that way stores the scene.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), upright)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16).repeat(3, 0)
    for name in ("a.png", "a.tif"):
        Image.fromarray(levels).save(tmp_path / name)
        assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = np.array([[[65535, 32896, 0], [0, 257, 65535]]], ">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 128, 0], [0, 1, 255]]]


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_is_converted(tmp_path: Path) -> None:
    image = Image.fromarray(picture())
    image.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert far(read_image(tmp_path / "a.jpg"), picture()) < 40
    assert np.abs(read_image(tmp_path / "a.jpg").astype(float) - picture()).mean() < 3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (4, 1), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255) if mode == "RGBA" else (10, 255))
    image.putpixel((2, 0), (0, 0, 0, 128) if mode == "RGBA" else (0, 128))
    image.save(tmp_path / "a.png")
    seen = read_image(tmp_path / "a.png")[0]
    assert seen[0].tolist() == [255, 255, 255]
    assert seen[1].tolist() == ([10, 20, 30] if mode == "RGBA" else [10, 10, 10])
    assert abs(int(seen[2, 0]) - 127) <= 1


def test_palette_with_transparency_lies_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 100, 0, 0, 0, 50])
    for x in range(3):
        image.putpixel((x, 0), x)
    image.save(tmp_path / "one.png", transparency=1)
    image.save(tmp_path / "each.png", transparency=bytes([255, 0, 255]))
    for name in ("one.png", "each.png"):
        assert read_image(tmp_path / name)[0].tolist() == [[200, 0, 0], [255, 255, 255], [0, 0, 50]]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50)
    image = read_image(tmp_path / name)
    assert image.shape == (30, 40, 3)
    assert far(image, np.broadcast_to([200, 0, 0], image.shape)) <= 8


def test_grey_bilevel_and_one_pixel(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 77).save(tmp_path / "grey.png")
    Image.new("1", (5, 4), 1).save(tmp_path / "bits.png")
    assert read_image(tmp_path / "grey.png").tolist() == [[[77, 77, 77]]]
    assert read_image(tmp_path / "bits.png").tolist() == [[[255] * 3] * 5] * 4


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "really-a-png.jpg").write_bytes(encode_png(picture()))
    assert np.array_equal(read_image(tmp_path / "really-a-png.jpg"), picture())


# ------------------------------------------------------------------------------------------------------------- refused


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("shopping list\nmilk\n")
    (tmp_path / "empty.png").write_bytes(b"")
    jpeg, png = encode_jpeg(picture(200, 300), 90), encode_png(picture(200, 300))
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    (tmp_path / "folder.png").mkdir()
    assert "no image" in refused(tmp_path / "text.jpg")
    assert "empty" in refused(tmp_path / "empty.png")
    assert "damaged" in refused(tmp_path / "cut.jpg")
    assert "damaged" in refused(tmp_path / "cut.png")
    assert "no image" in refused(tmp_path / "phone.heic") or "damaged" in refused(tmp_path / "phone.heic")
    (tmp_path / "raw.CR2").write_bytes(b"II*\0" + b"\0" * 40)
    assert "camera raw is not read" in refused(tmp_path / "raw.CR2")
    assert "no file" in refused(tmp_path / "folder.png")
    assert "no such file" in refused(tmp_path / "absent.png")


def test_every_cut_of_a_file_is_an_image_or_an_input_error(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(picture()).quantize(16).save(tmp_path / "a.png", transparency=3)
    Image.fromarray(picture()).save(tmp_path / "a.tif", compression="tiff_lzw")
    Image.fromarray(picture()).save(tmp_path / "a.gif")
    Image.fromarray(picture()).save(tmp_path / "a.webp")
    rng = np.random.default_rng(0)
    seen = {"image": 0, "refused": 0}
    for path in sorted(tmp_path.glob("a.*")):
        whole = path.read_bytes()
        damaged = tmp_path / f"damaged{path.suffix}"
        for _ in range(40):
            data = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            damaged.write_bytes(data)
            try:
                image = read_image(damaged)
            except InputError as error:
                seen["refused"] += "\n" not in str(error)
            else:
                seen["image"] += 1
                assert image.dtype == np.uint8
                assert image.ndim == 3
    assert min(seen.values()) > 10
    assert sum(seen.values()) == 5 * 40


def test_a_huge_image_is_refused_by_its_header(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "huge.png").write_bytes(png_header(40_000, 40_000))
    tracemalloc.start()
    message = refused(tmp_path / "huge.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "40000×40000" in message
    assert peak < 50e6


def test_a_large_image_gives_no_warning_and_the_limit_stays_pillows(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "large.png").write_bytes(png_header(13_500, 13_500))  # 182 million: Pillow alone refuses it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "damaged" in refused(tmp_path / "large.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_corrupt_exif_is_ignored_without_a_warning_in_many_threads(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x12\x01\x03\0\xff\xff\xff\x7f\xff\xff\xff\x7f" * 2
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    filters = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as pool:
            shapes = {image.shape for image in pool.map(read_image, [tmp_path / "a.jpg"] * 64)}
    assert shapes == {picture().shape}
    assert warnings.filters == filters


# ----------------------------------------------------------------------------------------------------------- sizes


def test_square_takes_the_centre_and_both_directions_of_scale() -> None:
    photo = np.zeros((40, 100, 3), np.uint8)
    photo[:, 30:70] = (10, 200, 90)
    for size in (16, 40, 80):
        assert far(square(photo, size), np.broadcast_to([10, 200, 90], (size, size, 3))) == 0
    assert square(photo[:, :1], 8).shape == (8, 8, 3)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert far(resize(stripes, (32, 64)), np.full((32, 64, 3), 127.5)) < 12


def test_write_png_keeps_every_pixel(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture())
    assert np.array_equal(read_image(tmp_path / "a.png"), picture())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# ------------------------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize("profile", WIDE)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_a_profile_is_honoured_in_every_format(tmp_path: Path, name: str, profile: str) -> None:
    image = smooth()
    options = {"quality": 98, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    path = save(tmp_path / name, as_in(WIDE[profile], image), icc_profile=WIDE[profile], **options)
    assert np.abs(read_image(path).astype(int) - image).mean() < 1.2


def test_grey_palette_and_transparent_pictures_have_profiles_too(tmp_path: Path) -> None:
    image = smooth()
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    linear = read_image(save(tmp_path / "grey.png", ramp, icc_profile=LINEAR))  # RGB's, on grey
    assert abs(int(linear[0, 128, 0]) - 188) <= 1
    assert (linear[..., 0] == linear[..., 2]).all()
    own = Image.fromarray(as_in(WIDE["adobe"], image))
    own.quantize(256).save(tmp_path / "palette.png", icc_profile=WIDE["adobe"])
    with Image.open(tmp_path / "palette.png") as palette:
        near = np.abs(np.asarray(palette.convert("RGB")).astype(int) - np.asarray(own)).mean()
    assert np.abs(read_image(tmp_path / "palette.png").astype(int) - image).mean() < near + 1
    own.putalpha(128)
    own.save(tmp_path / "clear.png", icc_profile=WIDE["adobe"])
    over = np.rint(image * (128 / 255) + 255 * (127 / 255))
    assert np.abs(read_image(tmp_path / "clear.png") - over).mean() < 1


def test_a_grey_profile_is_applied_to_grey(tmp_path: Path) -> None:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Grey\0" + b"\0" * 79
    tags, at, table, body = {b"desc": text, b"wtpt": white, b"kTRC": curve}, 132 + 36, struct.pack(">I", 3), b""
    for key, data in tags.items():
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI12s12x", at + len(body), b"", 0x02400000, b"mntrGRAYXYZ ") + b"acsp" + b"\0" * 28
    profile = (head + white[8:]).ljust(128, b"\0") + table + body
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    found = read_image(save(tmp_path / "a.png", ramp, icc_profile=profile))
    assert abs(int(found[0, 128, 0]) - 188) <= 2
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 255].tolist() == [255, 255, 255]


def png_with(chunks: dict[bytes, bytes], image: np.ndarray) -> bytes:
    data = encode_png(image)
    more = b"".join(
        struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
        for kind, value in chunks.items()
    )
    return data[:33] + more + data[33:]


def test_a_png_says_its_colours_in_chunks(tmp_path: Path) -> None:
    image, path = smooth(), tmp_path / "a.png"
    gamma = struct.pack(">I", 100_000)
    path.write_bytes(png_with({b"gAMA": gamma}, as_in(LINEAR, image)))
    assert np.abs(read_image(path).astype(int) - image).mean() < 1.5
    path.write_bytes(png_with({b"cICP": bytes([12, 13, 0, 1]), b"gAMA": gamma}, as_in(WIDE["p3"], image)))
    assert np.abs(read_image(path).astype(int) - image).mean() < 1
    path.write_bytes(png_with({b"sRGB": b"\0", b"gAMA": gamma}, image))
    assert np.array_equal(read_image(path), image)
    path.write_bytes(png_with({b"gAMA": struct.pack(">I", 45455)}, image))
    assert np.array_equal(read_image(path), image)


def test_a_camera_names_adobe_rgb_in_its_exif(tmp_path: Path) -> None:
    image, exif = smooth(), Image.Exif()
    exif[0x8769] = {0xA005: {1: "R03"}}
    path = save(tmp_path / "a.jpg", as_in(WIDE["adobe"], image), exif=exif, quality=98, subsampling=0)
    assert np.abs(read_image(path).astype(int) - image).mean() < 1.2


def test_a_profile_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = smooth()
    for name, profile in (("damaged.png", b"no profile " * 30), ("cmyk.png", LINEAR[:16] + b"CMYK" + LINEAR[20:])):
        path = save(tmp_path / name, image, icc_profile=profile)
        assert np.array_equal(read_image(path), image)
        told = capfd.readouterr().err
        assert "its colour profile" in told
        assert "read as sRGB" in told
        assert name in told
        assert told.count("\n") == 1


def test_a_long_text_beside_the_pixels_is_no_damage(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("workflow", "[1,2,3]," * 500_000, zip=True)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "graph.png", pnginfo=text)
    assert read_image(tmp_path / "graph.png").shape == (8, 8, 3)


def test_colours_are_converted_alike_in_many_threads(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / f"{i}.png", as_in(WIDE["p3"], smooth(600, 40, i)), icc_profile=WIDE["p3"]) for i in range(8)
    ]
    alone = [read_image(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read_image, paths * 4))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 4, together, strict=True))


def test_a_picture_has_what_an_edit_should_come_back_with(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "(c) somebody"
    exif[0x8769], exif[0x8825] = {0x9003: "2024:05:06 07:08:09"}, {1: "N"}
    own = as_in(WIDE["adobe"], smooth(40, 60))
    found = read_picture(save(tmp_path / "a.png", own, icc_profile=WIDE["adobe"], exif=exif, dpi=(300, 300)))
    assert found.pixels.shape == (60, 40, 3)
    assert found.own_pixels is not None
    assert np.array_equal(found.own_pixels, np.rot90(own, -1))
    assert found.profile == WIDE["adobe"]
    assert found.exif[0x8298] == "(c) somebody"
    assert found.exif[0x8769][0x9003] == "2024:05:06 07:08:09"
    assert found.exif[0x8825] == {1: "N"}
    assert 0x0112 not in found.exif
    assert found.alpha is None
    assert np.array_equal(found.pixels, read_image(tmp_path / "a.png"))
