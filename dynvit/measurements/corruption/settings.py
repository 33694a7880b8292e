"""How corruptions are measured: which, how severe, on how many images."""

from __future__ import annotations

from pydantic import field_validator, model_validator

from dynvit.settings import Settings, setting

ALL_SEVERITIES = (1, 2, 3, 4, 5)


class CorruptionSettings(Settings):
    """``folder`` is a pre-computed set to read instead of corrupting in memory."""

    corruptions: tuple[str, ...] = setting(
        (),
        flag="--corruptions",
        help="Measure under common corruptions: all, a group (noise, blur, weather, digital), or names.",
        metavar="all|GROUP|NAME,…",
        switch=True,
    )
    severities: tuple[int, ...] = setting(
        ALL_SEVERITIES, flag="--severities", help="Severities, 1 to 5. Default: all five", metavar="N,N", min_length=1
    )
    limit: int = setting(
        1000, flag="--corruptions-limit", help="Images under each corruption. Default: 1000", metavar="N", ge=1
    )
    folder: str | None = setting(
        None,
        flag="--corrupted-dir",
        help="A pre-computed set, as ImageNet-C is laid out, instead of corrupting in memory.",
        metavar="DIR",
        switch=True,
    )

    @field_validator("corruptions")
    @classmethod
    def _known(cls, corruptions: tuple[str, ...]) -> tuple[str, ...]:
        from dynvit.data.corruptions import select

        return select(corruptions)

    @field_validator("severities")
    @classmethod
    def _severe(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        for severity in severities:
            if severity not in ALL_SEVERITIES:
                raise ValueError(f"must be 1 to 5, got {severity}")
        return tuple(sorted(set(severities)))

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, values: dict[str, object]) -> dict[str, object]:
        """A pre-computed set alone asks for all that is in it, and so does True."""
        given = values.get("corruptions")
        return {**values, "corruptions": ("all",)} if not given or given in (True, (True,)) else values
