"""How robustness is measured: which attacks, how far, on how many points and images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationInfo, field_validator

from dynvit.errors import InputError
from dynvit.settings import Settings, setting

if TYPE_CHECKING:
    from dynvit.attacks.spec import AttackSpec
    from dynvit.data.datasets import DatasetSpec


class RobustnessSettings(Settings):
    """Units: ``eps`` of pixels in [0, 1]."""

    attacks: tuple[str, ...] = setting(
        (),
        flag="--robustness",
        help="Attack each model: fgsm,pgd,… or a preset's name.",
        metavar="NAME,NAME",
        switch=True,
        min_length=1,
    )
    points: int | Literal["all"] = setting(
        3, help="Points of each model that are attacked, of its front first. Default: 3", metavar="N|all"
    )
    limit: int = setting(
        256, help="Images that are attacked, a fair draw by the data seed. Default: 256", metavar="N", ge=1
    )
    norm: Literal["linf", "l2"] = setting(
        "linf", flag="--norm", help="Norm of the bound. Default: linf", metavar="NORM"
    )
    eps: tuple[float, ...] = setting(
        (), flag="--eps", help="Radii, 4/255 or 0.5, of pixels in [0, 1]. Default: the field's grid", metavar="E,E"
    )
    attack_option: Mapping[str, tuple[str, ...]] = setting(
        {}, flag="--attack-option", help="A setting of an attack: pgd.steps=50. Repeatable.", metavar="A.NAME=V"
    )
    masking_checks: bool = setting(
        True, flag="--masking-checks", help="Run further attacks that show masked gradients. Default: on"
    )

    @field_validator("attacks", mode="before")
    @classmethod
    def _named(cls, attacks: Any) -> Any:
        if attacks in (True, (True,), [True]):
            raise ValueError("must name the attacks, fgsm,pgd or a preset such as cifar-linf, got True")
        return attacks

    @field_validator("eps", mode="before")
    @classmethod
    def _radii(cls, eps: Any, info: ValidationInfo) -> tuple[float, ...]:
        from dynvit.attacks.radius import read_eps

        given = (eps,) if isinstance(eps, str | int | float) else tuple(eps or ())
        try:
            return tuple(read_eps(str(radius), info.data.get("norm", "linf")) for radius in given)
        except InputError as error:  # the flag is named by whoever knows it
            raise ValueError(str(error).removeprefix("eps ")) from error

    @field_validator("points")
    @classmethod
    def _some(cls, points: int | Literal["all"]) -> int | Literal["all"]:
        if points != "all" and points < 1:
            raise ValueError(f"must be 1 or more, or all, got {points}")
        return points

    @property
    def need_gradients(self) -> bool:
        """Whether one of the attacks takes a gradient of the model."""
        from dynvit.measurements.robustness.specs import attacks_named

        return any(not attack.black_box for attack in attacks_named(self.attacks))

    def specs(self, dataset: DatasetSpec) -> tuple[AttackSpec, ...]:
        """The attacks, the smallest radius first. Raises: ``InputError`` for one that there is not."""
        from dynvit.measurements.robustness.specs import specs_of

        return specs_of(
            self.attacks,
            norm=self.norm,
            eps=self.eps,
            options=self.attack_option,
            large_images=not dataset.small,
        )
