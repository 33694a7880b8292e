"""How much ``dynvit explain`` draws, declared without what draws it: help is shown before torch is imported."""

from __future__ import annotations

from dynvit.settings import Settings, setting


class ExplainSettings(Settings):
    """What is drawn of a split. Units: ``budget`` GMACs an image as a mean over the calibration split."""

    budget: float | None = setting(
        None,
        help="Or GMACs an image, solved on calibration. Default: as trained, else the middle",
        metavar="G",
        gt=0,
        allow_inf_nan=False,
    )
    points: int = setting(
        25, help="Number of budgets in the picture of exit shares. Default: 25", metavar="N", ge=2, le=10_000
    )
    per_class: int = setting(
        6,
        help="Easy, and as many hard, images a class; or cheap and expensive ones of the split. Default: 6",
        metavar="N",
        ge=1,
    )
