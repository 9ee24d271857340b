"""Colours of any profile as sRGB, and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from e2gan.core.colour import (
    SRGB_PRIMARIES,
    ProfileError,
    cicp_profile,
    from_srgb,
    gives_back,
    is_srgb,
    matrix_profile,
    png_profile,
    profile_mode,
    srgb_profile,
    to_srgb,
)
from tests.core.profiles import LINEAR, WIDE, as_in, smooth


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", WIDE)
def test_a_wide_profile_leads_to_srgb_and_back(name: str) -> None:
    image, profile = smooth(300, 70), WIDE[name]
    own = as_in(profile, image)
    assert far(own, image) > 3
    assert far(np.asarray(to_srgb(Image.fromarray(own), profile)), image) < 0.7
    assert far(from_srgb(image, profile), own) < 0.1
    assert gives_back(profile)


def test_the_known_colours_of_adobe_rgb_and_of_a_linear_curve() -> None:
    """Adobe RGB's (219, 0, 0)-like red of sRGB, by the two standards' formulas."""
    red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    assert np.abs(from_srgb(red, WIDE["adobe"]).astype(int) - (219, 0, 0)).max() <= 1
    grey = np.full((1, 1, 3), 188, np.uint8)  # 0.5029 in linear light
    assert np.abs(from_srgb(grey, LINEAR).astype(int) - 128).max() <= 1


def test_srgb_is_known_by_what_it_does_and_touches_no_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for profile in (srgb_profile(), matrix_profile(SRGB_PRIMARIES, None)):
        assert is_srgb(profile)
        assert np.array_equal(np.asarray(to_srgb(Image.fromarray(image), profile)), image)
        assert from_srgb(image, profile) is image
    assert not any(map(is_srgb, WIDE.values()))
    assert not is_srgb(matrix_profile(SRGB_PRIMARIES, 2.2))


def test_a_profile_is_the_same_bytes_at_any_time() -> None:
    data = srgb_profile()
    srgb_profile.cache_clear()
    assert srgb_profile() == data
    assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(data)))


def test_what_is_no_profile_is_refused_by_reason() -> None:
    for broken in (b"", b"no profile" * 40, WIDE["p3"][:150], WIDE["p3"][:36] + b"xxxx" + WIDE["p3"][40:]):
        with pytest.raises(ProfileError, match="is damaged"):
            to_srgb(Image.new("RGB", (2, 2)), broken)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with pytest.raises(ProfileError, match=r"not read \(Lab\)"):
        profile_mode(lab)
    assert not gives_back(lab)


def test_what_a_png_says_in_chunks_becomes_a_profile() -> None:
    assert png_profile(None, None) is None
    assert png_profile(0.45455, SRGB_PRIMARIES) is None
    assert png_profile(0.45455, None) is None
    assert png_profile(None, (0.0,) * 8) is None  # no colours: nothing can be done with them
    linear, image = png_profile(1.0, None), smooth()
    assert linear is not None
    assert far(as_in(linear, image), as_in(LINEAR, image)) < 0.1
    p3 = cicp_profile(bytes([12, 13, 0, 1]))
    assert p3 is not None
    assert far(as_in(p3, image), as_in(WIDE["p3"], image)) < 0.1
    assert cicp_profile(bytes([1, 13, 0, 1])) is None
    with pytest.raises(ProfileError, match="cICP 9 16 0 1"):  # high dynamic range
        cicp_profile(bytes([9, 16, 0, 1]))
