"""The images that are corrupted, and how they come to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from dynvit.data.corruptions import recipe_for, version_of
from dynvit.data.corruptions.loading import Corrupting, Variant, canvas
from dynvit.data.corruptions.precomputed import open_precomputed
from dynvit.data.opening import drawn
from dynvit.data.source import ImageSource
from dynvit.data.transforms import Preprocessing
from dynvit.leaderboard.follow_up import PLUGIN
from dynvit.measurements.corruption.result import GENERATED, PRECOMPUTED
from dynvit.measurements.corruption.settings import CorruptionSettings

VERSION = 1  # of the corruptions: rises when one of them makes other pixels
_IN_KEYS = {GENERATED: GENERATED, PRECOMPUTED: "ready set"}  # as version 1 wrote it: keys are for ever


@dataclass(frozen=True)
class CorruptedImages:
    """The images that are corrupted: a fair draw of the reported split, in memory or from a pre-computed set."""

    settings: CorruptionSettings
    drawn: ImageSource
    seed: int
    ready: Mapping[Variant, ImageSource] = field(default_factory=dict)

    @classmethod
    def open(cls, settings: CorruptionSettings, source: ImageSource, seed: int) -> CorruptedImages:
        """Draw the images, and check a pre-computed set. Raises: ``InputError`` for a set that is not whole."""
        images = drawn(source, settings.limit, seed)
        if settings.folder is None:
            return cls(settings, images, seed)
        variants = variants_of(settings)
        folder = Path(settings.folder)
        ready = open_precomputed(folder, source.spec, source.split, variants, images, settings.limit, seed)
        return cls(settings, images, seed, ready)

    def source(self, variant: Variant) -> str:
        """Where the corrupted images come from."""
        return PRECOMPUTED if variant in self.ready else GENERATED

    def how(self, variant: Variant, preprocessing: Preprocessing) -> dict[str, JsonValue]:
        """How the images come to be, by name: what stands in a result's settings."""
        if variant in self.ready:
            return {"version": VERSION, "crop_pct": 1.0}
        edge = canvas(self.drawn.spec, preprocessing).image_size
        made: dict[str, JsonValue] = {"version": VERSION, "parameters": recipe_for(edge), "edge_px": edge}
        plugin = version_of(variant.corruption)
        return made | {"seed": self.seed} | ({} if plugin is None else {PLUGIN: plugin})

    def config(self, variant: Variant, preprocessing: Preprocessing) -> dict[str, JsonValue]:
        """All that the result depends on, beside the record."""
        return {
            "threat": "corruption",
            "attack": variant.corruption,
            "severity": variant.severity,
            "source": _IN_KEYS[self.source(variant)],
            "images": self.ready.get(variant, self.drawn).manifest.sha256,
            **self.how(variant, preprocessing),
        }

    def corrupting(self, variant: Variant, preprocessing: Preprocessing) -> Corrupting:
        """What is done to a decoded image."""
        return Corrupting(variant, self.seed, canvas(self.drawn.spec, preprocessing), preprocessing)


def variants_of(settings: CorruptionSettings) -> tuple[Variant, ...]:
    """Every corruption at every severity."""
    return tuple(Variant(name, severity) for name in settings.corruptions for severity in settings.severities)
