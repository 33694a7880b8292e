"""The cascade: exits run in order, and an image leaves at the first exit whose score reaches the threshold."""

from __future__ import annotations

from collections.abc import Sequence

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from dynvit.backbones.vit import PlainViT
from dynvit.exits.model import THRESHOLD as THRESHOLD
from dynvit.exits.model import ExitingModel
from dynvit.exits.thresholds import Confidences, Row

from .criteria import bounded, criteria, differentiable, leaves
from .exit import Exit
from .options import DVTOptions
from .reuse import Handed
from .thresholds import SOLVERS
from .tokenizer import regrid


class Cascade(ExitingModel):
    """Two to four transformers over rising grids of tokens, each reusing features and relations of the one before.

    The exits are ``exits``, the coarsest first; ``backbone`` is the last. A criterion without gradient (``random``,
    ``patience``) leaves the cascade without a compute proxy. Source: arXiv 2105.15075, §3.
    """

    def __init__(self, template: nn.Module, options: DVTOptions) -> None:
        super().__init__()
        shape = PlainViT(template, needed_by="method dvt").shape
        assert isinstance(template, VisionTransformer)
        self.options, self.criterion = options, criteria.get(options.criterion)
        if not differentiable(self.criterion, template.num_classes):
            self.supports = self.supports - {"compute proxy"}
        grids = options.grids_for(shape.grid[0])
        apart = options.feature_reuse == options.relation_reuse == "off"
        exits = []
        for index, grid in enumerate(grids):
            last = index == len(grids) - 1
            keep = options.start == "all" or (options.start == "last" and last)
            vit = regrid(template, grid, keep)
            exits.append(Exit(vit, grids[index - 1] if index else 0, last or apart, options))
        self.exits = nn.ModuleList(exits)
        self.count("exits", [exit.parts() for exit in exits])

    @property
    def backbone(self) -> VisionTransformer:  # type: ignore[override]
        """The last exit's transformer: the backbone's size and grid, its MLPs widened where features are reused."""
        return self.exits[-1].vit

    def run_exit(self, index: int, images: Tensor, handed: Handed | None, *, executed: bool) -> tuple[Tensor, Handed]:
        """One transformer, with what it reuses. Shape: images (B, 3, H, W) → logits (B, classes)."""
        exit = self.exits[index]
        assert isinstance(exit, Exit)
        given = Handed() if handed is None else handed
        return exit.predict(images, given) if executed else exit(images, given)

    def score(self, exit_logits: Tensor, images: Tensor) -> Tensor:
        """By the option ``criterion``. Shape: exit_logits (exits so far, B, classes), images (B, 3, H, W) → (B,)."""
        return self.criterion(exit_logits, images)

    def bounded(self, scores: Tensor) -> Tensor:
        """Below 1, so that some threshold below 1 lets the most confident image leave."""
        return bounded(scores)

    def leaves(self, scores: Tensor, thresholds: Tensor) -> Tensor:
        """Where the score reaches a threshold below 1. Shape: scores (…, B), thresholds (…, 1) → bool."""
        return leaves(scores, thresholds)

    def solved(self, known: Confidences, budgets: Sequence[float]) -> list[Row]:
        """By the released code's shares of exits. Units: MACs per image."""
        return SOLVERS["released"](known, budgets)

    def solved_for_accuracy(self, known: Confidences, budgets: Sequence[float]) -> list[Row]:
        """By the option ``solver``. Units: MACs per image."""
        return SOLVERS[self.options.solver](known, budgets)
