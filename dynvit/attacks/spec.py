"""A fully specified attack: which one, within what, for what, against which form of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dynvit.attacks.attack import Attack
from dynvit.attacks.threat import Threat

Variant = Literal["adaptive", "soft", "frozen", "transfer", "static"]
"""The form of the model that is attacked. adaptive: ``forward``, gates straight-through. soft: ``surrogate_logits``.
frozen: ``forward_frozen``, with the clean image's decisions. transfer: another model. static: none, the images
stay clean."""

CriterionName = Literal["misclassify", "slowdown", "slowdown-keep-label"]
"""What is sought: a wrong label, more MACs, or more MACs with the label unchanged."""


@dataclass(frozen=True)
class AttackSpec:
    """One attack within one threat. ``name`` is the attack's registered name.

    ``restart``: 0 is the attack itself, any other a further attempt from other random starts. ``attempts`` that each
    model gets on accuracy, in all; None: as many as there are forms in which some model can be attacked.
    """

    name: str
    attack: Attack
    threat: Threat
    criterion: CriterionName = "misclassify"
    variant: Variant = "adaptive"
    restart: int = 0
    attempts: int | None = None

    def of(
        self, *, criterion: CriterionName = "misclassify", variant: Variant = "adaptive", restart: int = 0
    ) -> AttackSpec:
        """The same attack within the same threat, for another criterion, against another form, from another start."""
        return replace(self, criterion=criterion, variant=variant, restart=restart)
