from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageFilter

from e2gan.core.errors import InputError
from e2gan.editing.predictor import Predictor
from e2gan.networks.baselines.lut import LookUpTable, cube, identity
from e2gan.networks.models import Model
from e2gan.networks.pixels import from_pixels


def random_table(nodes: int = 9) -> LookUpTable:
    """Contrast, a swap of channels and noise: another colour for each way in which the axes may be mistaken."""
    table = LookUpTable(nodes)
    with torch.no_grad():
        mixed = (0.7 * identity(nodes) + 0.3 * identity(nodes)[[1, 2, 0]]).pow(3)
        noise = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(0))
        table.table.copy_((mixed + 0.1 * noise).clamp(-1, 1))
    return table.eval().requires_grad_(False)


def read_cube(text: str) -> tuple[int, str, np.ndarray]:
    """Nodes, title, and (N, N, N, 3) indexed by red, green, blue; read by the format's own words."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    keywords = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line[0].isalpha()}
    nodes = int(keywords["LUT_3D_SIZE"])
    assert keywords["DOMAIN_MIN"].split() == ["0.0"] * 3
    assert keywords["DOMAIN_MAX"].split() == ["1.0"] * 3
    rows = [[float(v) for v in line.split()] for line in lines if not line[0].isalpha()]
    assert len(rows) == nodes**3
    colours = np.empty((nodes, nodes, nodes, 3))
    for number, row in enumerate(rows):  # red changes fastest, then green, then blue
        colours[number % nodes, number // nodes % nodes, number // nodes**2] = row
    return nodes, keywords["TITLE"], colours


def test_a_new_table_changes_nothing_at_any_size() -> None:
    photo = torch.rand(2, 3, 5, 33) * 2 - 1
    edit = LookUpTable(17)(photo, None, None)
    assert edit.shape == photo.shape
    assert torch.allclose(edit, photo, atol=1e-6)


def test_nodes_are_met_and_cells_are_trilinear() -> None:
    table = random_table(5)
    red, green, blue = 3, 1, 4
    at = torch.tensor([red, green, blue]) / 4 * 2 - 1
    assert torch.allclose(table(at.view(1, 3, 1, 1)).flatten(), table.table[:, blue, green, red], atol=1e-6)
    photo = torch.rand(1, 3, 6, 7) * 2 - 1
    grid = photo.permute(0, 2, 3, 1)[:, None]  # PyTorch's own, with x, y, z in the order of red, green, blue
    expected = torch.nn.functional.grid_sample(table.table[None], grid, align_corners=True)[:, :, 0]
    assert torch.allclose(table(photo), expected, atol=1e-5)


def test_colours_outside_are_those_of_the_border() -> None:
    table = random_table()
    assert torch.equal(table(torch.full((1, 3, 2, 2), 1.5)), table(torch.ones(1, 3, 2, 2)))


def test_the_cube_file_holds_the_table() -> None:
    table = random_table()
    text = cube(table, 'the "old" café\nat dusk')
    nodes, title, colours = read_cube(text)
    assert (nodes, title) == (9, "\"the 'old' caf? at dusk\"")
    assert text.isascii()
    ours = (table.table.permute(3, 2, 1, 0).numpy() + 1) / 2
    assert np.abs(colours - ours).max() < 1e-6
    assert colours.min() >= 0
    assert colours.max() <= 1


def test_pillow_edits_a_photo_by_the_cube_file_as_the_table_does() -> None:
    photo = skimage.data.astronaut()[100:300, 100:260]
    table = random_table()
    nodes, _, colours = read_cube(cube(table, "t"))
    values = colours.transpose(2, 1, 0, 3).reshape(-1).tolist()
    theirs = np.asarray(Image.fromarray(photo).filter(ImageFilter.Color3DLUT(nodes, values)))
    ours = np.asarray(Predictor(Model(table, None, "", 32, None)).edit(photo))  # pyright: ignore[reportArgumentType]
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.abs(ours.astype(int) - photo).mean() > 10


def test_a_table_without_a_cell_is_refused() -> None:
    with pytest.raises(InputError, match="no cell"):
        LookUpTable(1)


def test_the_half_of_the_range_lies_between_two_levels() -> None:
    """127.5 is no pixel: the middle node of an odd number is met by none, its neighbours lie half a level off."""
    levels = from_pixels(torch.tensor([127, 128]).view(1, 1, 1, 2).expand(1, 3, 1, 2))
    assert LookUpTable(3)(levels)[0, 0, 0].tolist() == pytest.approx([-1 / 255, 1 / 255], abs=1e-6)
