"""MIA-Former's model: a controller before each block, the masked path and the executed one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from dynvit.backbones.strength import StrengthModel
from dynvit.cost import Count, macs
from dynvit.errors import InputError
from dynvit.interface import Batch, OperatingPoint, Part, Prediction, Usage
from dynvit.ops.threshold_path import ThresholdPath
from dynvit.ops.thresholds import open_above

from .adapter import MIAAdapter
from .controller import Controller, mean_value
from .gates import Decide, GateLogits, Masks, Thresholds, Values, fixed, noise_free, sampled
from .options import DIMENSIONS, THRESHOLDS, MIAOptions


@dataclass(frozen=True)
class MIAPrediction(Prediction):
    """The controllers' logits and the masks of each block, in the order of the blocks.

    ``masks`` are what ran: straight-through and floating in the differentiable form, bool from ``predict``.
    """

    gates: tuple[GateLogits, ...]
    masks: tuple[Masks, ...]


@dataclass(frozen=True)
class Passed:
    """A pass of the differentiable form whose parts nobody asks for: what training needs.

    Shape: ``logits`` (B, classes).
    """

    logits: Tensor
    gates: tuple[GateLogits, ...]
    masks: tuple[Masks, ...]


class MIAModel(StrengthModel):
    """A backbone whose blocks, heads and tokens are chosen for each image, block by block.

    A dimension whose threshold is 0 is not decided: nothing of it is dropped, and its branches do not run. So all at 0
    is the backbone, in logits and in cost. ``temperature`` is that of sampled gates; training may change it.
    """

    name = "mia"

    def __init__(self, backbone: nn.Module, adapter: MIAAdapter, options: MIAOptions) -> None:
        super().__init__()
        self.backbone, self.adapter, self.options = backbone, adapter, options
        self.temperature = options.temperature
        if options.static_blocks >= len(adapter.gates):
            raise InputError(
                f"option static_blocks must be less than the backbone's {len(adapter.gates)} blocks, got "
                f"{options.static_blocks}"
            )
        self.controllers = nn.ModuleDict(
            {
                str(index): Controller(shape, options)
                for index, shape in enumerate(adapter.gates)
                if index >= options.static_blocks
            }
        )
        self.neutral = self.point(Thresholds(0.0, 0.0, 0.0))
        self.cheapest = self.point(Thresholds(1.0, 1.0, 1.0))
        # The paper's: each gate is open where keeping is more likely than dropping.
        self.trained_point: OperatingPoint = self.point(Thresholds())

    def point(self, thresholds: Thresholds) -> OperatingPoint:
        """The thresholds of the dimensions that are decided, as knobs."""
        return OperatingPoint(**{THRESHOLDS[name]: getattr(thresholds, name) for name in self.options.dimensions})

    def thresholds(self, point: OperatingPoint) -> Thresholds:
        """The knobs as thresholds, 0 for a dimension that is not decided.

        Raises: ``InputError`` for a knob that is missing or out of its range.
        """
        found = {}
        for name in self.options.dimensions:
            value = point.number(THRESHOLDS[name])
            if not 0 <= value <= 1:
                raise InputError(f"knob {THRESHOLDS[name]} must be from 0 (keep all) to 1 (drop all), got {value:g}")
            found[name] = float(value)
        return replace(Thresholds(0.0, 0.0, 0.0), **found)

    def forward(self, images: Tensor, point: OperatingPoint) -> MIAPrediction:
        """Everything is computed, what is dropped is masked (Eq. 4).

        In train mode gates are sampled from the controllers, whatever the point. In eval mode they are ``predict``'s
        at the point, and gradients pass straight through.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        if self.training:
            return self.masked(images, sampled(self.temperature))
        thresholds = self.thresholds(point)
        return self.masked(images, noise_free(thresholds, self.temperature), asked=_asked(thresholds))

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> MIAPrediction:
        """The differentiable form with the masks of an earlier prediction, from either path.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        assert isinstance(decided, MIAPrediction)
        masks = tuple(mask.detach() for mask in decided.masks)
        return self.masked(images, fixed(masks), asked=_asked(self.thresholds(point)))

    def masked(
        self,
        images: Tensor,
        decide: Decide,
        *,
        asked: Sequence[str] = DIMENSIONS,
        values: bool = False,
        apart: bool = False,
    ) -> MIAPrediction:
        """The differentiable form under any rule of what is kept.

        ``asked`` are the dimensions whose branches run; ``values`` runs the critics too; ``apart`` stops gradients from
        the controllers into the backbone.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        found = self.passed(images, decide, asked=asked, values=values, apart=apart)
        return MIAPrediction(found.logits, self.usage(found.masks, asked), gates=found.gates, masks=found.masks)

    def passed(
        self,
        images: Tensor,
        decide: Decide,
        *,
        asked: Sequence[str] = DIMENSIONS,
        values: bool = False,
        apart: bool = False,
    ) -> Passed:
        """``masked`` without its usage. Shape: images (B, 3, H, W). Units: pixels in [0, 1]."""
        gates, masks = list[GateLogits](), list[Masks]()
        tokens = self.adapter.embed(images)
        for index in range(len(self.adapter.gates)):
            tokens = self.adapter.enter(index, tokens)
            found = self._ask(index, tokens.detach() if apart else tokens, asked, values)
            kept = self._not_empty(index, decide(index, found), found)
            tokens = self.adapter.masked(index, tokens, kept)
            gates.append(found)
            masks.append(kept)
        return Passed(self.adapter.classify(tokens), tuple(gates), tuple(masks))

    @torch.no_grad()
    def predict(self, images: Tensor, point: OperatingPoint) -> MIAPrediction:
        """What is dropped is not computed, and of a skipped block no more than the depth branch.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        thresholds = self.thresholds(point)
        gates, masks = list[GateLogits](), list[Masks]()
        tokens = self.adapter.embed(images)
        for index in range(len(self.adapter.gates)):
            tokens = self.adapter.enter(index, tokens)
            found, kept = self._choose(index, tokens, thresholds)
            tokens = self.adapter.executed(index, tokens, kept)
            gates.append(found)
            masks.append(kept)
        return MIAPrediction(
            self.adapter.classify(tokens),
            self.usage(masks, _asked(thresholds)),
            gates=tuple(gates),
            masks=tuple(masks),
        )

    def path(self, calibration: Sequence[Batch]) -> Callable[[float], OperatingPoint]:
        """The trained policy, scaled to drop less or more by a ``ThresholdPath``."""
        asked = (self(batch.images, self.trained_point).gates for batch in calibration)
        path = ThresholdPath.of((map(GateLogits.by_dimension, gates) for gates in asked), asdict(Thresholds()))
        return lambda strength: self.point(Thresholds(**path.thresholds(strength)))

    def least_macs(self) -> tuple[int, int]:
        """The cost of one image where all that can be dropped is, and the controllers' share of it. Units: MACs."""
        masks = []
        for index, gate in enumerate(self.adapter.gates):
            keep = Masks.keep_all(1, gate.heads, gate.tokens, like=torch.ones(1)).to(torch.bool)
            if self._controller(index) is not None:
                dropped = {name: torch.zeros_like(getattr(keep, name)) for name in self.options.dimensions}
                if self.options.empty == "best":
                    for name in {"heads"} if gate.class_token else {"heads", "tokens"}:
                        if name in dropped:
                            dropped[name][:, 0] = True
                keep = replace(keep, **dropped)
            masks.append(keep)
        return int(macs(self.usage(masks))), int(macs(self.usage(masks)) - macs(self.usage(masks, asked=())))

    def dense_macs(self) -> int:
        """The cost of one image where nothing is dropped and no controller runs: the backbone. Units: MACs."""
        gates = self.adapter.gates
        keep = [Masks.keep_all(1, gate.heads, gate.tokens, like=torch.ones(1)).to(torch.bool) for gate in gates]
        return int(macs(self.usage(keep, asked=())))

    def usage(self, masks: Sequence[Masks], asked: Sequence[str] = DIMENSIONS) -> Usage:
        """What runs under the masks, one a block. Counts have the masks' gradients; of bool masks they are integers.

        Shape: the masks' B images.
        """
        adapter, parts, counted = self.adapter, list[Part](self.adapter.embed_parts()), list[tuple[Tensor, Tensor]]()
        for index, kept in enumerate(masks):
            work, heads, tokens = self._work(index, kept, asked)
            parts += [*adapter.enter_parts(index), *work]
            counted.append((heads, tokens))
        last = adapter.gates[-1]
        parts += adapter.classify_parts(last.tokens + int(last.class_token))
        by_block = [torch.stack(counts, dim=1).detach().round().long() for counts in zip(*counted, strict=True)]
        return Usage(len(masks[0].depth), tuple(parts), heads=by_block[0], tokens=by_block[1])

    def macs(self, masks: Sequence[Masks]) -> Tensor:
        """The MACs of ``usage``, counted for blocks of one kind together: a tenth of its operations.

        Shape: (B,), with the gradient of the masks. Units: MACs.
        """
        adapter, images, kinds = self.adapter, len(masks[0].depth), dict[Hashable, list[int]]()
        for index in range(len(masks)):
            kinds.setdefault((adapter.kind(index), self._controller(index) is None), []).append(index)
        last = adapter.gates[-1]
        always = [*adapter.embed_parts(), *adapter.classify_parts(last.tokens + int(last.class_token))]
        always += [part for index in range(len(masks)) for part in adapter.enter_parts(index)]
        total = int(macs(Usage(1, tuple(always))))
        counts = list[Tensor]()
        for alike in kinds.values():
            work, _, _ = self._work(alike[0], Masks.cat([masks[index] for index in alike]), DIMENSIONS)
            counts.append(macs(Usage(len(alike) * images, tuple(work))).unflatten(0, (len(alike), images)))
        return torch.cat(counts).sum(0) + total

    def _work(self, index: int, kept: Masks, asked: Sequence[str]) -> tuple[list[Part], Tensor, Tensor]:
        """The parts of a block and its controller under the masks, and how many heads and tokens run."""
        gate = self.adapter.gates[index]
        exact = kept.to(torch.int64 if kept.depth.dtype == torch.bool else torch.float64)
        runs = kept.runs(gate.class_token).to(exact.depth.dtype)
        heads, tokens = exact.heads.sum(1), exact.tokens.sum(1) + int(gate.class_token)
        parts = self._controller_parts(index, exact.depth, asked)
        return [*parts, *self.adapter.block_parts(index, runs, heads, tokens)], runs * heads, runs * tokens

    def _ask(self, index: int, tokens: Tensor, asked: Sequence[str], values: bool) -> GateLogits:
        """The controller's logits for all images."""
        gate = self.adapter.gates[index]
        keep = Masks.keep_all(len(tokens), gate.heads, gate.tokens, like=tokens)
        controller = self._controller(index)
        if controller is None:
            return GateLogits(None, None, None, keep)
        asked = [name for name in asked if name in self.options.dimensions]
        grid, class_token = self.adapter.split(tokens)
        depth = heads = wanted = head_features = token_features = summary = None
        if "depth" in asked or "heads" in asked:
            summary = controller.summarize(grid, class_token)
        if "depth" in asked and summary is not None:
            depth = controller.depth(summary)
        if "heads" in asked and summary is not None:
            head_features = controller.head_features(summary)
            heads = controller.heads(head_features)
        if "tokens" in asked:
            token_features = controller.token_features(grid)
            wanted = controller.tokens(token_features)
        if not values:
            return GateLogits(depth, heads, wanted, keep)
        found = Values(
            None if depth is None or summary is None else mean_value(controller.depth_critic, summary),
            None if head_features is None else mean_value(controller.head_critic, head_features),
            None if token_features is None else mean_value(controller.token_critic, token_features),
        )
        return GateLogits(depth, heads, wanted, keep, found)

    def _choose(self, index: int, tokens: Tensor, thresholds: Thresholds) -> tuple[GateLogits, Masks]:
        """Depth first; heads and tokens are decided for the images whose depth gate is open."""
        gate, asked = self.adapter.gates[index], _asked(thresholds)
        keep = Masks.keep_all(len(tokens), gate.heads, gate.tokens, like=tokens)
        everything, controller = keep.to(torch.bool), self._controller(index)
        if controller is None or not asked:
            return GateLogits(None, None, None, keep), everything
        grid, class_token = self.adapter.split(tokens)
        depth, heads, wanted = None, None, None
        runs, summary = everything.depth, None
        if "depth" in asked or "heads" in asked:
            summary = controller.summarize(grid, class_token)
        if "depth" in asked and summary is not None:
            depth = controller.depth(summary)
            runs = open_above(depth, thresholds.depth)
        head_mask, token_mask = everything.heads & runs[:, None], everything.tokens & runs[:, None]
        live = runs.nonzero().flatten()
        whole = len(live) == len(tokens)
        if "heads" in asked and summary is not None:
            logits = controller.heads(controller.head_features(summary if whole else summary[live]))
            heads, head_mask = _place(logits, keep.heads, live, thresholds.heads)
        if "tokens" in asked:
            logits = controller.tokens(controller.token_features(grid if whole else grid[live]))
            wanted, token_mask = _place(logits, keep.tokens, live, thresholds.tokens)
        found = GateLogits(depth, heads, wanted, keep)
        return found, self._not_empty(index, Masks(runs, head_mask, token_mask), found)

    def _not_empty(self, index: int, masks: Masks, found: GateLogits) -> Masks:
        """By option ``empty``: a block that runs without a head (or any token) keeps the best one, or nothing."""
        if self.options.empty == "skip":
            return masks
        heads, tokens = masks.heads, masks.tokens
        if found.heads is not None:
            heads = _with_best(heads, found.heads, masks.depth)
        if found.tokens is not None and not self.adapter.gates[index].class_token:
            tokens = _with_best(tokens, found.tokens, masks.depth)
        return replace(masks, heads=heads, tokens=tokens)

    def _controller(self, index: int) -> Controller | None:
        if str(index) not in self.controllers:
            return None
        found = self.controllers[str(index)]
        assert isinstance(found, Controller)
        return found

    def _controller_parts(self, index: int, depth: Count, asked: Sequence[str]) -> list[Part]:
        """The work of a controller; ``depth`` is 1 where the depth gate is open, so that the other branches run."""
        controller, name, parts = self._controller(index), f"controllers.{index}", list[Part]()
        if controller is None:
            return parts
        asked = [dimension for dimension in asked if dimension in self.options.dimensions]
        if "depth" in asked or "heads" in asked:
            parts += controller.summary_parts(name, 1)
        if "depth" in asked:
            parts += controller.depth_parts(name, 1)
        if "heads" in asked:
            parts += controller.head_parts(name, depth)
        if "tokens" in asked:
            parts += controller.token_parts(name, depth)
        return parts


def _asked(thresholds: Thresholds) -> tuple[str, ...]:
    """The dimensions that controllers decide: a threshold of 0 keeps all."""
    return tuple(name for name in DIMENSIONS if getattr(thresholds, name) > 0)


def _place(logits: Tensor, keep: Tensor, live: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Logits and masks of some images among all. Shape: logits (b, n), keep (B, n), live (b,) → (B, n) both."""
    placed = torch.full_like(keep, torch.nan).index_copy(0, live, logits.to(keep.dtype))
    return placed, open_above(placed, threshold)


def _with_best(mask: Tensor, logits: Tensor, depth: Tensor) -> Tensor:
    """The mask, with its highest logit kept where it is empty and the depth gate is open."""
    empty = ~mask.detach().bool().any(1) & depth.detach().bool()
    best = torch.zeros_like(mask).scatter(1, logits.nan_to_num(-torch.inf).argmax(1, keepdim=True), 1)
    if mask.dtype == torch.bool:
        return mask | (best & empty[:, None])
    return mask + best * empty[:, None].to(mask.dtype)
