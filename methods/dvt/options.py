"""Options of a cascade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dynvit.errors import InputError, unknown
from dynvit.ops.resize import Resize

FeatureVariant = Literal["full", "off", "layerwise", "class_token", "first_block", "no_norm"]
RelationVariant = Literal["full", "off", "layerwise", "final_layer", "linear", "naive"]
Detach = Literal["none", "features", "relations", "both"]
Start = Literal["all", "last", "none"]
LastBlock = Literal["class", "all"]
Solver = Literal["optimal", "expected", "released"]

DEFAULT_EXITS = 3
"""Exits where no grids are given; knobs follow from options alone, before there is a backbone."""


@dataclass(frozen=True)
class DVTOptions:
    """Options of a cascade; the defaults are the paper's model.

    Equations and tables are of arXiv 2105.15075; choices that it leaves open say so.
    """

    grids: tuple[int, ...] = ()
    """Edge of each exit's square grid of tokens, rising; 2 to 4 of them. Empty: half, five sevenths and the
    whole of the backbone's own grid, which is 7, 10, 14 at 224 pixels (§4)."""
    feature_reuse: FeatureVariant = "full"
    """Each block's MLP also reads the upstream exit's last tokens (Eq. 4, 5). Variants of Table 7: ``layerwise``
    (block l reads block l), ``class_token`` (also the class token's), ``first_block`` (only it), ``no_norm``."""
    relation_reuse: RelationVariant = "full"
    """The upstream exit's attention logits are added to each block's (Eq. 6 to 8). Variants of Table 8:
    ``layerwise``, ``final_layer`` (the last block's logits only), ``linear`` (no hidden layer), ``naive`` (the
    map of logits resized as if it were an image)."""
    feature_hidden: int = 128
    """Width inside the feature MLP, ≥ 1 (Appendix A)."""
    feature_width: int = 48
    """Channels handed to each block, ≥ 1 (Appendix A)."""
    relation_expansion: int = 3
    """Hidden channels of the relation MLP as a multiple of heads × blocks, ≥ 1 (Appendix A)."""
    resize: Resize = "released"
    """How maps are enlarged: as the released weights need it (nearest up, averaged down), or bilinear."""
    detach: Detach = "none"
    """Where gradients from one exit to the one before are stopped. Left open by the paper; its code stops none."""
    criterion: str = "confidence"
    """The exit criterion (§3.2, Table 9): ``confidence``, ``entropy``, ``random``, ``patience``, or registered."""
    solver: Solver = "optimal"
    """How thresholds follow from a budget: ``optimal`` has the highest accuracy on the calibration images, ``expected``
    the highest expected accuracy by calibrated scores, ``released`` the exit shares of the code (the paper's genetic
    algorithm is not released)."""
    start: Start = "all"
    """Which exits start from the backbone's weights; where a grid differs, its positions and patches are
    resampled. Left open by the paper, which trains from scratch."""
    last_block: LastBlock = "class"
    """Whether the last block of the last exit computes only the class token (the same answer, cheaper), or all
    tokens as the released code does and as the paper's counts assume."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "grids", tuple(self.grids))
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise unknown(f"value of DVT's option {name}", getattr(self, name), get_args(kind))
        for name in ("feature_hidden", "feature_width", "relation_expansion"):
            if getattr(self, name) < 1:
                raise InputError(f"option {name} must be 1 or more, got {getattr(self, name)}")
        if self.grids and (
            not 2 <= len(self.grids) <= 4 or self.grids[0] < 1 or sorted(set(self.grids)) != list(self.grids)
        ):
            raise InputError(f"option grids must be 2 to 4 rising numbers, such as 7,10,14; got {self.grids}")

    def grids_for(self, backbone_grid: int) -> tuple[int, ...]:
        """The exits' grids on a backbone that has ``backbone_grid`` × ``backbone_grid`` tokens.

        Raises: ``InputError`` where the grid is too small for the default's three.

        >>> DVTOptions().grids_for(14), DVTOptions().grids_for(8)
        ((7, 10, 14), (4, 6, 8))
        """
        if self.grids:
            return self.grids
        rising = tuple(sorted({max(1, backbone_grid // 2), round(backbone_grid * 5 / 7), backbone_grid}))
        if len(rising) < DEFAULT_EXITS:
            raise InputError(
                f"a grid of {backbone_grid}×{backbone_grid} tokens is too small for {DEFAULT_EXITS} exits: give DVT's "
                f"option grids, {'(1, 2) for two, ' if backbone_grid == 2 else ''}or a backbone with more tokens"
            )
        return rising

    def detaches(self, what: Literal["features", "relations"]) -> bool:
        """Whether gradients through ``what`` stop between exits."""
        return self.detach in (what, "both")


_CHOICES = {
    "feature_reuse": FeatureVariant,
    "relation_reuse": RelationVariant,
    "detach": Detach,
    "resize": Resize,
    "solver": Solver,
    "start": Start,
    "last_block": LastBlock,
}
