"""A 3-D colour look-up table, the baseline that sees one pixel at a time; and its file for photo editors."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config.checks import need

CUBE = "lut.cube"


class LookUpTable(nn.Module):
    """Edits each pixel by its colour alone: trilinear interpolation in a table of nodes³ colours.

    photo: (B, 3, H, W) float in [-1, 1] of any height and width. tokens and mask are not used; they are there so that
    it is called as every generator is. Returns (B, 3, H, W) float32 in [-1, 1].

    table: (3, nodes, nodes, nodes) float32 in [-1, 1], the edit's channels at blue, green, red; red varies fastest, as
    in a .cube file. A new one is the identity.
    """

    multiple = 1

    def __init__(self, nodes: int = 17) -> None:
        super().__init__()
        need(nodes >= 2, f"a colour table of {nodes}³ colours has no cell to interpolate in")
        self.nodes = nodes
        self.table = nn.Parameter(identity(nodes))

    def forward(self, photo: Tensor, *_: object) -> Tensor:
        # Plain look-ups, since ONNX's GridSample has three dimensions only from opset 20 on.
        place = (photo.float().clamp(-1, 1) + 1) * ((self.nodes - 1) / 2)
        low = place.floor().clamp(max=self.nodes - 2)
        share = place - low
        weights = [(1 - part, part) for part in share.unbind(1)]
        red, green, blue = low.long().unbind(1)
        cell = (blue * self.nodes + green) * self.nodes + red
        colours = self.table.flatten(1).t()
        edit = torch.zeros((), device=photo.device)
        for b, g, r in product((0, 1), repeat=3):
            weight = weights[2][b] * weights[1][g] * weights[0][r]
            edit = edit + weight[..., None] * F.embedding(cell + (b * self.nodes + g) * self.nodes + r, colours)
        return edit.movedim(-1, 1)


def identity(nodes: int) -> Tensor:
    """The table that changes nothing, (3, nodes, nodes, nodes) in [-1, 1]."""
    at = torch.linspace(-1, 1, nodes)
    blue, green, red = torch.meshgrid(at, at, at, indexing="ij")
    return torch.stack([red, green, blue])


def cube(table: LookUpTable, title: str) -> str:
    """The text of an Adobe .cube file (Cube LUT Specification 1.0): colours in 0..1, red varies fastest.

    title: any text; what the format cannot hold in it, quotes and letters beyond ASCII, is replaced.
    """
    plain_title = " ".join(title.replace('"', "'").split()).encode("ascii", "replace").decode()
    colours = ((table.table.detach().float().cpu().flatten(1).t() + 1) / 2).clamp(0, 1).tolist()
    return "\n".join(
        [
            f'TITLE "{plain_title}"',
            f"LUT_3D_SIZE {table.nodes}",
            "DOMAIN_MIN 0.0 0.0 0.0",
            "DOMAIN_MAX 1.0 1.0 1.0",
            *(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours),
            "",
        ]
    )
