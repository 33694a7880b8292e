"""The MIA-Controller: decides before a block whether it runs, and on which heads and tokens (§3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dynvit import cost
from dynvit.interface import Part

from .options import MIAOptions

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "hardswish": nn.Hardswish}


@dataclass(frozen=True)
class GateShape:
    """What a controller decides on: ``heads`` of a block, and tokens of ``width`` channels on a ``grid``."""

    width: int
    heads: int
    grid: tuple[int, int]
    class_token: bool

    @property
    def tokens(self) -> int:
        """N, the tokens that are decided on."""
        return self.grid[0] * self.grid[1]

    @property
    def features(self) -> int:
        """H·E' with E' = E/4, at least 1."""
        return self.heads * max(1, self.width // (4 * self.heads))


class GridLayer(nn.Module):
    """A convolution and an activation on a grid whose channels come last. Shape: (B, h, w, C) → (B, h', w', C')."""

    def __init__(self, d_in: int, d_out: int, stride: int, options: MIAOptions) -> None:
        super().__init__()
        self.d_in, self.d_out, self.kernel, self.stride = d_in, d_out, options.kernel, stride
        self.separable = options.convolution == "separable" and self.kernel > 1
        channels = d_in if self.separable else d_out
        plain, groups, padding = self.kernel == 1 and stride == 1, d_in if self.separable else 1, self.kernel // 2
        convolution = None if plain else nn.Conv2d(d_in, channels, self.kernel, stride, padding, groups=groups)
        self.convolution = convolution
        self.pointwise = nn.Linear(d_in, d_out) if plain or self.separable else None
        self.act = ACTIVATIONS[options.activation]()

    def forward(self, grid: Tensor) -> Tensor:
        """Shape: (B, h, w, C) → (B, h', w', C')."""
        if self.convolution is not None:
            grid = self.convolution(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.act(grid if self.pointwise is None else self.pointwise(grid))

    def out_grid(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output."""
        return -(-grid[0] // self.stride), -(-grid[1] // self.stride)

    def parts(self, name: str, images: cost.Count, positions: int) -> list[Part]:
        """The work on ``positions`` outputs of each of ``images``."""
        found: list[Part] = []
        if self.convolution is not None:
            fan_in = self.kernel**2 * (1 if self.separable else self.d_in)
            channels = self.d_in if self.separable else self.d_out
            found.append(cost.Convolution(f"{name}.convolution", images * positions, fan_in, channels))
        if self.pointwise is not None:
            found.append(cost.Linear(f"{name}.pointwise", images * positions, self.d_in, self.d_out))
        return found


class Summary(nn.Module):
    """CNN_b: the grid in one vector (Eq. 1). Shape: (B, N, C) → (B, H·E')."""

    def __init__(self, shape: GateShape, options: MIAOptions) -> None:
        super().__init__()
        self.grid, self.order = shape.grid, options.pool_order
        rows, columns = shape.grid
        self.cells = min(options.pool, max(1, rows // 2)), min(options.pool, max(1, columns // 2))
        self.width = shape.width
        self.norm: nn.Module = nn.LayerNorm(shape.width) if options.controller_norm == "layer" else nn.Identity()
        self.first = GridLayer(shape.width, shape.features, options.stride, options)
        self.second = GridLayer(shape.features, shape.features, 1, options)

    def forward(self, tokens: Tensor, class_token: Tensor | None = None) -> Tensor:
        """Shape: tokens (B, N, C), class_token (B, C) → (B, H·E')."""
        grid = tokens.unflatten(1, self.grid)
        if self.order == "first":
            grid = self._pool(grid)
        if class_token is not None:
            grid = grid + class_token[:, None, None]
        grid = self.first(self.norm(grid))
        if self.order == "between":
            grid = self._pool(grid)
        return self.second(grid).flatten(1, 2).mean(1)

    def _pool(self, grid: Tensor) -> Tensor:
        rows, columns = self.cells
        if grid.shape[1] % rows == 0 and grid.shape[2] % columns == 0:
            # One dimension after the other: both at once take fifteen times as long on a CPU (torch 2.15).
            return grid.unflatten(2, (columns, -1)).mean(3).unflatten(1, (rows, -1)).mean(2)
        return F.adaptive_avg_pool2d(grid.permute(0, 3, 1, 2), self.cells).permute(0, 2, 3, 1)

    def parts(self, name: str, images: cost.Count) -> list[Part]:
        """The work on each of ``images``."""
        grid = self.cells if self.order == "first" else self.grid
        found = list[Part]()
        if isinstance(self.norm, nn.LayerNorm):
            found.append(cost.Normalization(f"{name}.norm", images * (grid[0] * grid[1] * self.width)))
        grid = self.first.out_grid(grid)
        found += self.first.parts(f"{name}.first", images, grid[0] * grid[1])
        grid = self.cells if self.order == "between" else grid
        return found + self.second.parts(f"{name}.second", images, grid[0] * grid[1])


class Controller(nn.Module):
    """The three branches of a block, each a feature part, a last FC (``*_actor``) and one beside it (``*_critic``).

    The critics exist from the start, so that a checkpoint has the same tensors after each stage; only the third stage
    runs them, and their MACs are not counted. A branch that is switched off is not built.
    """

    def __init__(self, shape: GateShape, options: MIAOptions) -> None:
        super().__init__()
        self.shape, self.options = shape, options
        features, act = shape.features, ACTIVATIONS[options.activation]
        if options.decides("depth") or options.decides("heads"):
            self.summary = Summary(shape, options)
        if options.decides("depth"):
            self.depth_actor, self.depth_critic = nn.Linear(features, 1), nn.Linear(features, 1)
        if options.decides("heads"):
            self.head_features = nn.Sequential(nn.Linear(features, features), act())
            joint = options.head_fc == "joint"
            self.head_actor = nn.Linear(features, shape.heads) if joint else nn.Linear(features // shape.heads, 1)
            self.head_critic = nn.Linear(features, 1)
        if options.decides("tokens"):
            norm = nn.LayerNorm(shape.width) if options.controller_norm == "layer" else nn.Identity()
            layers = nn.Linear(shape.width, features), act(), nn.Linear(features, features), act()
            self.token_features = nn.Sequential(norm, *layers)
            self.token_actor, self.token_critic = nn.Linear(features, 1), nn.Linear(features, 1)
        for name, module in self.named_children():
            if name.endswith("_actor"):
                nn.init.constant_(module.bias, options.init_logit)  # type: ignore[arg-type]

    def summarize(self, tokens: Tensor, class_token: Tensor | None) -> Tensor:
        """F_b, which the depth and the head branch share. Shape: tokens (B, N, C) → (B, H·E')."""
        return self.summary(tokens, class_token if self.options.class_token == "read" else None)

    def depth(self, summary: Tensor) -> Tensor:
        """G_b (Eq. 1). Shape: (B, H·E') → (B,)."""
        return self.depth_actor(summary).squeeze(-1)

    def heads(self, head_features: Tensor) -> Tensor:
        """G_h from F_h (Eq. 2). Shape: (B, H·E') → (B, H)."""
        if self.options.head_fc == "joint":
            return self.head_actor(head_features)
        return self.head_actor(head_features.unflatten(-1, (self.shape.heads, -1))).squeeze(-1)

    def tokens(self, token_features: Tensor) -> Tensor:
        """G_n from F_n (Eq. 3). Shape: (B, N, H·E') → (B, N)."""
        return self.token_actor(token_features).squeeze(-1)

    def summary_parts(self, name: str, images: cost.Count) -> list[Part]:
        """The work of ``summarize`` for each of ``images``, a number or one an image."""
        return self.summary.parts(f"{name}.summary", images)

    def depth_parts(self, name: str, images: cost.Count) -> list[Part]:
        """The work of ``depth``."""
        return [cost.Linear(f"{name}.depth_actor", images, self.shape.features, 1)]

    def head_parts(self, name: str, images: cost.Count) -> list[Part]:
        """The work of the head branch on F_b."""
        features, heads = self.shape.features, self.shape.heads
        last = (
            cost.Linear(f"{name}.head_actor", images, features, heads)
            if self.options.head_fc == "joint"
            else cost.Linear(f"{name}.head_actor", images * heads, features // heads, 1)
        )
        return [cost.Linear(f"{name}.head_features", images, features, features), last]

    def token_parts(self, name: str, images: cost.Count) -> list[Part]:
        """The work of the token branch."""
        rows, width, features = images * self.shape.tokens, self.shape.width, self.shape.features
        normed = isinstance(self.token_features[0], nn.LayerNorm)
        norm: list[Part] = [cost.Normalization(f"{name}.token_features.0", rows * width)] if normed else []
        return [
            *norm,
            cost.Linear(f"{name}.token_features.1", rows, width, features),
            cost.Linear(f"{name}.token_features.3", rows, features, features),
            cost.Linear(f"{name}.token_actor", rows, features, 1),
        ]


def mean_value(critic: nn.Module, features: Tensor) -> Tensor:
    """A critic's value for an image; of a token branch, from the mean of the tokens' features.

    Shape: (B, F) or (B, N, F) → (B,).
    """
    return critic(features.mean(1) if features.ndim == 3 else features).squeeze(-1)


__all__ = ["Controller", "GateShape", "GridLayer", "Summary", "mean_value"]
