"""The contract between dynvit and a method.

A method turns a backbone into a model that decides, for each image, what to execute. It subclasses ``Method``
and ``DynamicModel``; dynvit trains and measures it without knowing what its knobs mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

from optuna.distributions import BaseDistribution
from torch import Tensor, nn

from dynvit.citation import Citation as Citation
from dynvit.errors import InputError
from dynvit.explanations import BlockWork as BlockWork
from dynvit.explanations import Explanation as Explanation
from dynvit.point import KnobValue as KnobValue
from dynvit.point import OperatingPoint as OperatingPoint
from dynvit.recipe import Augment as Augment
from dynvit.recipe import Recipe as Recipe
from dynvit.recipe import Scope as Scope
from dynvit.registry import Registry
from dynvit.units import Rule as Rule
from dynvit.wording import PointToSay as PointToSay
from dynvit.wording import register_wording as register_wording

Capability = Literal["budgets", "accurate budgets", "frozen gates", "surrogate logits", "compute proxy", "explanations"]
"""What a model may support beyond the contract: it declares it in ``supports``, and ``dynvit check`` tries it."""

CAPABILITY_METHODS: Mapping[Capability, tuple[str, ...]] = {
    "budgets": ("feasible_range", "solve"),
    "accurate budgets": ("solve_for_accuracy",),
    "frozen gates": ("forward_frozen",),
    "surrogate logits": ("surrogate_logits",),
    "compute proxy": ("compute_proxy",),
    "explanations": ("explain",),
}
"""What a capability is made of: the methods that a ``DynamicModel``, or a ``Method`` for explanations, overrides."""


def _unsupported(owner: object, capability: Capability) -> TypeError:
    kind, methods = type(owner).__name__, " and ".join(CAPABILITY_METHODS[capability])
    declaration = "`explains = True`" if capability == "explanations" else f'"{capability}" in `supports`'
    return TypeError(f"{kind} does not support {capability}: declare {declaration} and override {methods}")


class Part(Protocol):
    """One part of the executed work: a linear layer on n tokens, say. ``dynvit.cost`` has all kinds."""

    @property
    def name(self) -> str:
        """Its module, as a dotted path: ``blocks.3.attn.qkv``."""
        ...

    def macs(self, rule: Rule) -> Tensor | int:
        """Multiply-adds: an integer where all images cost the same, else a tensor.

        Shape: (B,) where images differ. Units: MACs.
        """
        ...


@dataclass(frozen=True)
class Usage:
    """What was executed for each image of a batch.

    ``parts`` is the whole work, for counting; the other fields say what was decided, for people and for comparing
    ``forward`` with ``predict``. A method sets those that it decides.

    Shape: ``tokens`` (B, L), tokens that block l processed, 0 where it was skipped; ``heads`` (B, L);
    ``exit`` (B,), the index of the exit at which the image left.
    """

    images: int
    parts: tuple[Part, ...]
    tokens: Tensor | None = None
    heads: Tensor | None = None
    exit: Tensor | None = None


@dataclass(frozen=True)
class Prediction:
    """The output of a model. A method whose loss needs more (masks, features) subclasses it.

    Shape: ``logits`` (B, classes).
    """

    logits: Tensor
    usage: Usage


@dataclass(frozen=True)
class Batch:
    """A training batch.

    ``labels`` are -1 where they are unknown, which only calibration images may be.

    Shape: ``images`` (B, 3, H, W); ``labels`` (B,); ``targets`` (B, classes), soft under smoothing and mixup.
    Units: pixels in [0, 1].
    """

    images: Tensor
    labels: Tensor
    targets: Tensor

    @property
    def labelled(self) -> bool:
        """Whether every label is known."""
        return bool((self.labels >= 0).all())


class DynamicModel(nn.Module, ABC):
    """A backbone that decides, for each image, what to execute.

    Images are pixels in [0, 1]: the model normalises (adapters in ``dynvit.backbones`` do it in ``embed``), so that an
    attack's ε means the same for every model. The backbone is the attribute ``backbone``.
    """

    backbone: nn.Module
    neutral: OperatingPoint | None = None
    """The point at which the model equals its backbone; None where there is none (a cascade)."""
    trained_point: OperatingPoint | None = None
    """The point that training aims at; None where it aims at no single one, or nothing is trained."""
    published_points: Sequence[OperatingPoint] = ()
    """Points that the authors stored with a published checkpoint, which a bench measures beside its own."""
    solves_unlabelled: ClassVar[bool] = False
    """Whether ``solve`` works on calibration images without labels."""
    supports: frozenset[Capability] = frozenset()
    """What the model can do beyond the contract; its class overrides the methods of each (``CAPABILITY_METHODS``).

    The class declares it; a model whose options rule a capability out removes it in ``__init__``. "explanations" is
    declared by the method instead (``Method.explains``): it has to be known before weights are read.
    """

    @abstractmethod
    def forward(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Differentiable: gates by straight-through, shapes dense. For training and white-box attacks.

        In ``eval`` mode it takes the same decisions as ``predict`` at the same point; the type that it
        returns does not depend on the mode.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """

    @abstractmethod
    def predict(self, images: Tensor, point: OperatingPoint) -> Prediction:
        """Skipped work is not executed. For leaderboards and speed; no gradient.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """

    def sweep(self, images: Tensor, points: Sequence[OperatingPoint]) -> Iterable[Prediction]:
        """``predict`` at each point; a method whose points can share work overrides it."""
        return (self.predict(images, point) for point in points)

    def feasible_range(self, calibration: Sequence[Batch]) -> tuple[float, float]:
        """The lowest and the highest cost that it can be set to, mean MACs per image. Capability: "budgets"."""
        raise _unsupported(self, "budgets")

    def solve(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        """For each budget the most expensive point within it, of one family of points along which compute rises.

        The budget holds for the mean over the calibration images, whose labels are not looked at. Capability:
        "budgets". A model without it is set to a budget by bisecting along ``Method.budget_knob``.

        Units: budgets in mean MACs per image. Raises: ``InputError`` for a budget out of range, naming the range.
        """
        raise _unsupported(self, "budgets")

    def solve_for_accuracy(self, budgets: Sequence[float], calibration: Sequence[Batch]) -> Sequence[OperatingPoint]:
        """As ``solve``, but the most accurate point on the calibration images. Capability: "accurate budgets"."""
        raise _unsupported(self, "accurate budgets")

    def forward_frozen(self, images: Tensor, point: OperatingPoint, decided: Prediction) -> Prediction:
        """``forward`` with the decisions of ``decided``, an earlier ``forward`` on as many images.

        Capability: "frozen gates", for a model whose gates depend on the image: attacks then see the backbone alone.

        Shape: images (B, 3, H, W) → logits (B, classes). Units: pixels in [0, 1].
        """
        raise _unsupported(self, "frozen gates")

    def surrogate_logits(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        """Logits that are differentiable in the choice of a branch: the branches' logits, weighted.

        Capability: "surrogate logits", for a model whose ``forward``, which gave ``prediction``, has a gradient in the
        branch that it took only. Shape: images (B, 3, H, W) → (B, classes). Units: pixels in [0, 1].
        """
        raise _unsupported(self, "surrogate logits")

    def compute_proxy(self, images: Tensor, point: OperatingPoint, prediction: Prediction) -> Tensor:
        """A differentiable stand-in for the MACs that ``prediction``, ``forward``'s on the same images, counts.

        Capability: "compute proxy", for a model whose counted MACs have no gradient in the image. Units: MACs an image.
        Shape: images (B, 3, H, W) → (B,).
        """
        raise _unsupported(self, "compute proxy")


Schedule = Callable[[float, float], float]
"""(epoch reached, a fraction; epochs of the stage) → factor on the learning rate."""


def constant(epoch: float, epochs: float) -> float:
    """The schedule that leaves the learning rate as it is."""
    return 1.0


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that a stage trains, with their learning rate. Parameters in no group stay frozen.

    Units: ``lr`` per optimiser step, before ``schedule``.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr: float
    weight_decay: float = 0.0
    schedule: Schedule = constant


@dataclass(frozen=True)
class Losses:
    """The loss to minimise, and its parts for the log. All are scalars."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One stage of a training: what is trained, for how long, by which loss.

    ``loss`` calls the model that it is given, as often and at as many points as it likes. ``frozen`` are modules that
    the loss uses and the stage does not train (a teacher): the trainer keeps them on the model's device, in eval mode.
    ``begin`` runs once before the first step (surgery, re-initialisation), ``end`` once after the last. ``until`` is
    called after each epoch; True ends the stage.

    Units: ``epochs`` over ``share`` of the training split, 1 for all of it: a stage that calls ``until`` often, or ends
    before it has seen each image once, has short epochs, each of other images. ``labels`` says whether the loss looks
    at any: images of a stage that does not are counted apart.
    """

    name: str
    epochs: int
    groups: Callable[[DynamicModel], Sequence[ParamGroup]]
    loss: Callable[[nn.Module, Batch], Losses]
    frozen: Sequence[nn.Module] = ()
    begin: Callable[[DynamicModel], None] | None = None
    end: Callable[[DynamicModel], None] | None = None
    until: Callable[[DynamicModel], bool] | None = None
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    share: float = 1.0
    labels: bool = True


@dataclass(frozen=True)
class PublishedCheckpoint:
    """Weights that a method's authors published: where, and with which accuracy.

    ``name`` can be given in place of a path; ``backbone`` is the nearest timm model. Units: ``top1_pct`` as published,
    in percent.
    """

    name: str
    backbone: str
    url: str
    top1_pct: float
    note: str = ""


OptionsT = TypeVar("OptionsT")

Dimension = Literal["tokens", "heads", "sub-layers", "depth", "exits", "width", "resolution"]
"""What a method may vary from image to image, or from point to point."""

Trait = Literal[
    "no class token", "registers", "distillation token", "average pooling", "attention pooling", "gated MLPs"
]
"""What a ViT may have besides, or instead of, one class token that its head reads (``backbones.traits``)."""

EVERY_TRAIT: frozenset[Trait] = frozenset(get_args(Trait))


class Method(ABC, Generic[OptionsT]):
    """A named way to make a backbone dynamic. Register the class with ``register_method``.

    Class attributes: ``summary``, one line for ``dynvit ls``, which also shows ``venue`` and ``year`` of the paper and
    what the method ``varies``; ``paper``, what else a citation of it needs (``dynvit cite``); ``Options``, a frozen
    dataclass with a default for each field; ``needs_training``, whether ``attach`` adds parts that are useless before
    ``stages`` ran; ``static``, whether it is the backbone itself, from whose weights the others' training starts;
    ``adaptive_cost``, whether images differ in MACs at one point; ``budget_knob``, the knob along which compute is
    monotone (None where there is none); ``explains``, whether ``explain`` is overridden; ``by_default``, whether a
    bench that names no methods runs one that comes with dynvit; ``recipes``, named training recipes, each of which says
    what it is for (``Recipe.scope``); ``published``, checkpoints that ``load_published`` reads; ``published_augment``,
    how their authors augment the training images that they set them to budgets on (None: not at all); ``serves``, what
    a ViT may have besides one class token that its head reads.
    """

    summary: ClassVar[str] = ""
    venue: ClassVar[str] = ""
    year: ClassVar[int | None] = None
    paper: ClassVar[Citation | None] = None
    varies: ClassVar[tuple[Dimension, ...]] = ()
    by_default: ClassVar[bool] = True
    Options: ClassVar[type[Any]]
    needs_training: ClassVar[bool] = False
    static: ClassVar[bool] = False
    adaptive_cost: ClassVar[bool] = True
    budget_knob: ClassVar[str | None] = None
    explains: ClassVar[bool] = False
    recipes: ClassVar[Mapping[str, Recipe]] = {}
    published: ClassVar[Sequence[PublishedCheckpoint]] = ()
    published_augment: ClassVar[Augment | None] = None
    serves: ClassVar[frozenset[Trait]] = frozenset()

    @abstractmethod
    def knobs(self, options: OptionsT, *backbone: Any, **named: Any) -> Mapping[str, BaseDistribution]:
        """What can be set at inference without training again, by name.

        Written as ``knobs(self, options)``, or, where ranges depend on it, ``knobs(self, options, backbone)``; the core
        asks for them by ``dynvit.knobs.knobs_of``.
        """

    @abstractmethod
    def attach(self, backbone: nn.Module, options: OptionsT) -> DynamicModel:
        """Build on a timm model, which becomes part of the result.

        Raises: ``InputError`` that names an unsupported backbone, and the reason.
        """

    def stages(self, model: DynamicModel, recipe: Recipe) -> Sequence[Stage]:
        """The training, stage by stage; called on the model as ``attach`` gave it."""
        raise InputError(f"method {type(self).__name__} has nothing to train: run it with dynvit bench as it is")

    def explain(self, model: DynamicModel, images: Tensor, point: OperatingPoint) -> Sequence[Explanation]:
        """One explanation for each image, of ``predict``'s answer at the point. Declared by ``explains``.

        Shape: images (B, 3, H, W). Units: pixels in [0, 1].
        """
        raise _unsupported(self, "explanations")

    def options_for(self, target: float, backbone: nn.Module, options: OptionsT) -> OptionsT:
        """The options that train for a target. Units: ``target`` as a fraction of the backbone's MACs.

        Raises: ``InputError`` where a method has no such option, or the target is not feasible.
        """
        raise InputError(f"method {type(self).__name__} does not train for a target: leave out --targets")

    def load_published(self, path: str) -> tuple[DynamicModel, OperatingPoint]:
        """Load a checkpoint in the layout that the method's authors published, with the point that it was trained for.

        Raises: ``InputError`` for a file of another layout, or where there is no published layout.
        """
        name = next((name for name, kind in methods.load_all().items() if kind is type(self)), type(self).__name__)
        raise InputError(f"method {name!r} has no published checkpoint layout: give one of dynvit's own")


methods: Registry[type[Method[Any]]] = Registry("method", "dynvit.methods")
register_method = methods.register


def own_methods() -> tuple[str, ...]:
    """What is benched where nobody says otherwise: of the methods that come with dynvit, those ``by_default``."""
    own = (name for name in methods.names() if methods.origins(name)[0].distribution == "dynvit")
    return tuple(name for name in own if methods.get(name).by_default)
