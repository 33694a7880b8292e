"""Which measurements are asked for, and how: from flat names, as flags and suites give them, to settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dynvit.errors import InputError, unknown
from dynvit.measurements.base import Measurement, measurements
from dynvit.settings import Flag, Settings, flags_of, validated

Kind = type[Measurement[Any, Any, Any]]


def flags_for(kind: Kind) -> list[Flag]:
    """A measurement's flags. One whose settings have no switch of their own gets ``--NAME``."""
    found = list(flags_of(kind.Settings, prefix=kind.name))
    if not any(flag.switch for flag in found):
        found.insert(0, Flag("", kind.name, "", f"Measure {kind.summary or kind.name}.", True, bool))
    return found


def check_flags(taken: Collection[str]) -> None:
    """Raises: ``InputError`` for a measurement whose flag another has, or the bench itself (``taken``)."""
    owners = dict.fromkeys(taken, "dynvit bench")
    for name, flags in all_flags().items():
        for flag in flags:
            if flag.name in owners:
                raise InputError(
                    f"measurement {name!r} and {owners[flag.name]} both take {flag.flag}: rename the setting's flag, "
                    "or the measurement"
                )
            owners[flag.name] = f"measurement {name!r}"


def all_flags() -> dict[str, list[Flag]]:
    """The flags of every measurement that is registered, by its name."""
    return {name: flags_for(kind) for name, kind in measurements.load_all().items()}


def joined(suite: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A suite's options under those that are given: of a nested block what no flag replaces stays."""
    values = {**suite, **given}
    for name, kind in measurements.load_all().items():
        block, switch = suite.get(name), given.get(name)
        if isinstance(block, Mapping) and name in given and not isinstance(switch, Mapping | Settings | bool):
            field = next(flag.field for flag in flags_for(kind) if flag.name == name)
            values[name] = {**block, field: switch}
        elif isinstance(block, Mapping) and switch is True:
            values[name] = block
    return values


def take_settings(given: dict[str, Any]) -> dict[str, Settings]:
    """The settings of each measurement that is asked for; what belongs to one is taken out of ``given``.

    A suite may also nest them: ``speed: {batches: [1, 64]}``; a flag beside such a block wins over what it says.

    Raises: ``InputError`` for a value out of range, or a setting whose measurement is not asked for.
    """
    found: dict[str, Settings] = {}
    for name, kind in measurements.load_all().items():
        flags = flags_for(kind)
        nested = given.get(name)
        if isinstance(nested, Settings):
            found[name] = given.pop(name)
            continue
        if isinstance(nested, Mapping):
            beside = {flag.field: given.pop(flag.name) for flag in flags if flag.name in given and flag.name != name}
            told = {field: value for field, value in beside.items() if value is not None}
            found[name] = _nested(kind, flags, {**given.pop(name), **told})
            continue
        if name in given and all(flag.name != name for flag in flags):  # by its name, not by its switch's
            given[next(flag for flag in flags if flag.switch).name] = given.pop(name)
        values = {flag: given.pop(flag.name) for flag in flags if flag.name in given}
        settings = _asked(kind, flags, {flag: value for flag, value in values.items() if value is not None})
        if settings is not None:
            found[name] = settings
    return found


def _nested(kind: Kind, flags: list[Flag], values: Mapping[str, Any]) -> Settings:
    by_field = {flag.field: flag for flag in flags if flag.field}
    for field in values:
        if field not in by_field:
            raise unknown(f"setting of {kind.name}", str(field), by_field)
    made: Settings = validated(kind.Settings, {f: by_field[f].read(value) for f, value in values.items()}, flags)
    return made


def _asked(kind: Kind, flags: list[Flag], given: Mapping[Flag, Any]) -> Settings | None:
    switches = [flag for flag in flags if flag.switch]
    for flag in switches:
        _check_switch(flag, given.get(flag))
    on = any(given.get(flag) not in (None, False) for flag in switches)
    if not on:
        refused = any(flag in given for flag in switches)  # speed: false, and how it would have been measured
        stray = next(_stray(given), None)
        if stray is not None and not refused:
            raise InputError(
                f"{stray.flag} belongs to {kind.name}, which is not asked for: add "
                f"{' or '.join(flag.flag for flag in switches)}"
            )
        return None
    values = {flag.field: flag.read(value) for flag, value in given.items() if flag.field}
    made: Settings = validated(kind.Settings, values, flags)
    return made


def _check_switch(flag: Flag, value: Any) -> None:
    """Raises: ``InputError`` for a switch that is neither on nor off: text for true, or nothing that is named."""
    if flag.is_bool and not isinstance(value, bool | None):
        raise InputError(f"{flag.flag} must be true or false, without quotes, got {value!r}")
    if value is not None and not isinstance(value, bool) and flag.read(value) in ("", ()):
        raise InputError(f"{flag.flag} must name one or more, got none: give {flag.metavar}, or leave it out")


def _stray(given: Mapping[Flag, Any]) -> Iterator[Flag]:
    return (flag for flag in given if not flag.switch)
