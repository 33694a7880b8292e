"""The conformance kit: laws that hold for every method, to be checked on any of them.

``dynvit check NAME`` runs them; a plug-in's own tests do so too::

    import pytest
    from dynvit.testing import LAWS, Subject

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    def test_law(law):
        law(Subject.of("mymethod"))

A law returns nothing where it holds, raises ``LawBroken`` where it does not, and ``NotApplicable`` where the
law says nothing of the method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dynvit.errors import InputError
from dynvit.plugin_faults import described
from dynvit.testing.capabilities import (
    CAPABILITY_LAWS,
    declared_capabilities_are_overridden,
    overridden_capabilities_are_declared,
)
from dynvit.testing.laws import (
    claimed_macs_are_executed,
    forward_equals_predict,
    forward_returns_one_type,
    gradients_reach_every_trained_part,
    gradients_reach_the_image,
    macs_fall_with_the_budget,
    neutral_point_equals_backbone,
    results_do_not_depend_on_the_batch,
    saving_and_loading_changes_nothing,
    sweeping_equals_predicting,
)
from dynvit.testing.subject import Law, LawBroken, NotApplicable, Subject

__all__ = ["CAPABILITY_LAWS", "LAWS", "Law", "LawBroken", "NotApplicable", "Subject", "Verdict", "check"]

LAWS: tuple[Law, ...] = (
    neutral_point_equals_backbone,
    forward_equals_predict,
    results_do_not_depend_on_the_batch,
    claimed_macs_are_executed,
    sweeping_equals_predicting,
    macs_fall_with_the_budget,
    saving_and_loading_changes_nothing,
    gradients_reach_every_trained_part,
    gradients_reach_the_image,
    forward_returns_one_type,
    declared_capabilities_are_overridden,
    overridden_capabilities_are_declared,
    *CAPABILITY_LAWS.values(),
)


@dataclass(frozen=True)
class Verdict:
    """The result of one law: ``holds`` is None where it does not apply."""

    law: str
    holds: bool | None
    reason: str = ""


def check(subject: Subject) -> Iterator[Verdict]:
    """Check every law; a law that fails does not stop the next.

    An exception is said once, with the plug-in's file and line; the next laws that it breaks name the first.
    """
    faults: dict[str, str] = {}
    for law in LAWS:
        name = law.__name__.replace("_", " ")
        try:
            law(subject)
        except NotApplicable as reason:
            yield Verdict(name, None, str(reason))
        except LawBroken as fault:
            yield Verdict(name, False, str(fault))
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            line = described(error)
            first = faults.setdefault(line, name)
            yield Verdict(name, False, line if first == name else f"as under {first!r}")
        else:
            yield Verdict(name, True)
