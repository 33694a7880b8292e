"""What a bench is asked to do: from flags, a YAML file, and each dataset's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dynvit.attacks import AttackSpec, Threat
from dynvit.attacks.radius import Norm, read_eps
from dynvit.backbones.weights import sha256_of
from dynvit.checkpoint import WEIGHTS
from dynvit.data.corruptions import SEVERITIES, select
from dynvit.errors import InputError, unknown
from dynvit.interface import Rule, methods
from dynvit.measurements.robustness.specs import trials_of
from dynvit.measurements.speed.timed_model import Dtype
from dynvit.measurements.speed.timing import BATCHES, SpeedSettings
from dynvit.registry import file_version
from dynvit.search import SamplerName

# What a newcomer gets for each dataset: a backbone of fitting size, and training where no weights can be had.
_DEFAULT_BACKBONE = {"digits": "vit_digits"}
_LARGE_BACKBONE = "deit_tiny_patch16_224"
_TRAINED_BY_DEFAULT = frozenset({"digits"})
# Lines beside the records, each with its own question: they may be asked for later, or otherwise.
_SPEED = ("speed", "speed_batches", "speed_rounds", "speed_points", "speed_dtype", "compile")
_CORRUPTIONS = ("corruptions", "severities", "corruptions_limit", "corrupted_dir")


def own_methods() -> tuple[str, ...]:
    """The methods that come with dynvit: what is benched where nobody says otherwise."""
    return tuple(name for name in methods.names() if methods.origins(name)[0].distribution == "dynvit")


class BenchConfig(BaseModel):
    """The options of ``dynvit bench``; the same names in a suite's YAML.

    Units: ``budgets`` in GMACs per image; ``targets`` as fractions of the dense backbone's MACs; ``memory_mb`` MiB
    of decoded pixels a process. ``speed_batches``, ``speed_rounds``, ``speed_dtype`` and ``compile`` say how ``speed``
    is measured, at ``speed_points`` points of each arm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[str, ...] = Field(default_factory=own_methods, min_length=1)
    dataset: str = "digits"
    data_dir: str | None = None
    split: str = "validation"
    limit: int | None = Field(None, ge=1)
    calibration: int | None = Field(None, ge=1)
    on_bad_sample: Literal["raise", "skip"] = "raise"
    backbone: str | None = None
    weights: str | None = None
    image_size: int | None = Field(None, ge=1)
    crop_pct: float | None = Field(None, gt=0, le=1)
    interpolation: str | None = None
    method_checkpoint: Mapping[str, tuple[str, ...]] = {}
    options: Mapping[str, tuple[str, ...]] = {}
    train: bool | None = None
    targets: tuple[float, ...] = ()
    recipe: str | None = None
    epochs: int | None = Field(None, ge=1)
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    points: int = Field(8, ge=1)
    budgets: tuple[float, ...] = ()
    sampler: SamplerName = "ladder"
    trials: int = Field(32, ge=1)
    robustness: tuple[str, ...] = ()
    robustness_points: int | Literal["all"] = 3
    robustness_limit: int = Field(256, ge=1)
    norm: Norm = "linf"
    eps: tuple[float, ...] = ()
    attack_option: Mapping[str, tuple[str, ...]] = {}
    masking_checks: bool = True
    rule: Rule = "matmul+conv"
    batch_size: int = Field(64, ge=1)
    workers: int = Field(0, ge=0)
    memory_mb: int = Field(4096, ge=0)
    device: Literal["auto", "cpu"] = "auto"
    seed: int = Field(0, ge=0)
    speed: bool = False
    speed_batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(BATCHES, min_length=1)
    speed_rounds: int = Field(7, ge=1)
    speed_points: int = Field(3, ge=1)
    speed_dtype: Dtype = "float32"
    compile: bool = False
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = Field(SEVERITIES, min_length=1)
    corruptions_limit: int = Field(1000, ge=1)
    corrupted_dir: str | None = None
    output: str | None = None
    plugin: tuple[str, ...] = ()

    @field_validator("methods")
    @classmethod
    def _once(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(methods))

    @field_validator("split")
    @classmethod
    def _reported(cls, split: str) -> str:
        if split == "calibration":
            raise ValueError("points are chosen on calibration, and nothing is reported where it was chosen")
        return split

    @field_validator("targets")
    @classmethod
    def _fractions(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        for target in targets:
            if not 0 < target <= 1:
                raise ValueError(f"a target is a fraction of the dense backbone's MACs, in (0, 1], not {target:g}")
        return tuple(dict.fromkeys(targets))

    @field_validator("budgets")
    @classmethod
    def _positive(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        for budget in budgets:
            if budget <= 0:
                raise ValueError(f"a budget is in GMACs per image, above 0, not {budget:g}")
        return tuple(dict.fromkeys(budgets))

    @field_validator("corruptions")
    @classmethod
    def _known(cls, corruptions: tuple[str, ...]) -> tuple[str, ...]:
        return select(corruptions)

    @field_validator("severities")
    @classmethod
    def _severe(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        for severity in severities:
            if severity not in SEVERITIES:
                raise ValueError(f"a severity is a number from 1 to 5, not {severity}")
        return tuple(sorted(set(severities)))

    @property
    def corrupts(self) -> tuple[str, ...]:
        """Corruptions to measure under: those asked for, or all of a ready set."""
        return self.corruptions or (select(["all"]) if self.corrupted_dir else ())

    @field_validator("eps", mode="before")
    @classmethod
    def _radii(cls, eps: Any) -> tuple[float, ...]:
        given = (eps,) if isinstance(eps, str | int | float) else tuple(eps or ())
        return tuple(Threat("linf", read_eps(str(radius))).eps for radius in given)

    @field_validator("robustness_points")
    @classmethod
    def _some(cls, points: int | Literal["all"]) -> int | Literal["all"]:
        if points != "all" and points < 1:
            raise ValueError("attack 1 point of each arm or more, or all")
        return points

    def attacks(self) -> tuple[AttackSpec, ...]:
        """The attacks that are asked for, the smallest radius first.

        Raises: ``InputError`` for one that there is not.
        """
        if not self.robustness:
            for name in ("eps", "attack_option"):
                if getattr(self, name):
                    raise InputError(f"--{name.replace('_', '-')} is of attacks: name them with --robustness")
        return trials_of(
            self.robustness,
            norm=self.norm,
            eps=self.eps,
            options=self.attack_option,
            large_images=self.dataset.startswith("imagenet"),
        )

    @property
    def climbs(self) -> bool:
        """Whether an attack needs a gradient, so that every arm must have one."""
        return any(not trial.attack.black_box for trial in self.attacks())

    @property
    def backbone_name(self) -> str:
        """The backbone asked for, else the dataset's default."""
        return self.backbone or _DEFAULT_BACKBONE.get(self.dataset, _LARGE_BACKBONE)

    @property
    def trains(self) -> bool:
        """Whether to train what needs training: asked for, else where nothing was given that could be used."""
        if self.train is not None:
            return self.train
        return self.dataset in _TRAINED_BY_DEFAULT and self.weights is None and not self.method_checkpoint

    @property
    def folder(self) -> Path:
        """Where everything goes: asked for, else named after dataset and backbone."""
        return Path(self.output) if self.output else Path("runs") / f"{self.dataset}-{self.backbone_name}"

    @property
    def speed_settings(self) -> SpeedSettings:
        """How speed is measured."""
        return SpeedSettings(self.speed_batches, self.speed_rounds, self.speed_dtype, self.compile, self.seed)

    @property
    def searches_robustness(self) -> bool:
        """Whether robust accuracy is an objective of the search."""
        return bool(self.robustness) and self.sampler != "ladder"

    def identity(self) -> dict[str, Any]:
        """What must not change between two runs into one folder: everything that a record depends on."""
        free = {"output", "workers", "memory_mb", "device", "data_dir", "plugin", *_CORRUPTIONS, *_SPEED}
        attacks = {"robustness", "robustness_points", "robustness_limit", "norm", "eps", "attack_option"}
        # What is attached to records later may be added to any run; a search that looks at it is another search.
        free |= {"masking_checks"} | (set() if self.searches_robustness else attacks)
        plugins = {Path(file).name: file_version(file) for file in self.plugin}
        return self.model_dump(mode="json", exclude=free) | {"plugin": plugins, "contents": self._contents()}

    def _contents(self) -> dict[str, str]:
        """Weights and checkpoints that lie here, by hash: what is trained again under the same name is another."""
        given = [self.weights, *(path for paths in self.method_checkpoint.values() for path in paths)]
        files = {path: Path(path, WEIGHTS) if Path(path).is_dir() else Path(path) for path in given if path}
        return {path: sha256_of(file)[:16] for path, file in files.items() if file.is_file()}


def load_config(file: str | None, flags: Mapping[str, Any]) -> BenchConfig:
    """The options of a YAML file, overridden by the flags that were given.

    Raises: ``InputError`` for a file that is none, an option that does not exist, or a value out of range.
    """
    given = _read_yaml(file) if file else {}
    given |= flags
    known = BenchConfig.model_fields
    for name in given:
        if name not in known:
            raise unknown("option", name, known)
    for name in (
        *("methods", "targets", "budgets", "plugin"),
        *("robustness", "corruptions", "severities", "speed_batches"),
    ):
        if isinstance(given.get(name), str | int | float):
            given[name] = [given[name]]
    try:
        return BenchConfig(**given)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise InputError(
            f"option {where}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}"
        ) from error


def _read_yaml(file: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read suite {file!r} ({error.strerror}): -C takes the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"suite {file!r} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"suite {file!r} holds no options: it is a mapping of bench's options, points: 8 for one")
    return {str(name).replace("-", "_"): value for name, value in content.items()}
