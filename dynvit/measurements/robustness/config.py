"""What names an attack on a point for ever: the configuration of its line."""

from __future__ import annotations

from dynvit.attacks import attacks
from dynvit.attacks.spec import AttackSpec
from dynvit.leaderboard.follow_up import PLUGIN
from dynvit.leaderboard.record import JsonObject
from dynvit.measurements.task import MeasuredPoint
from dynvit.options import options_to_json


def config_of(spec: AttackSpec, images: str, source: MeasuredPoint | None) -> JsonObject:
    """All that the result depends on, beside the record. ``images`` says which were attacked.

    What is None is not hashed: keys that were made before a field was are the same today.
    """
    revision = spec.attack.revision
    return {
        "attack": spec.name,
        "settings": options_to_json(spec.attack),
        "norm": spec.threat.norm,
        "eps": spec.threat.eps,
        "goal": spec.criterion,
        "variant": spec.variant,
        "images": images,
        "source": source.record_id if source else None,
        "patient": True if source and getattr(spec.attack, "early_stop", False) else None,
        "restart": spec.restart or None,
        "revision": None if revision == 1 else revision,
        PLUGIN: attacks.file_version(spec.name),
    }
