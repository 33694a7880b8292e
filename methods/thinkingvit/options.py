"""Options of ThinkingViT."""

from __future__ import annotations

from dataclasses import dataclass

from dynvit.errors import InputError


@dataclass(frozen=True)
class ThinkingViTOptions:
    """What ThinkingViT leaves to choose (arXiv 2507.10800)."""

    rounds: tuple[int, ...] = ()
    """Attention heads of each round, rising, two or three of them; the last has all of the backbone's. Empty: half of
    them, then all. Published: 2,3 and 3,6 (DeiT-T in DeiT-S), 2,6; 3,9; 3,12; 2,3,6 and 3,6,12."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rounds", tuple(self.rounds))
        rising = sorted(set(self.rounds)) == list(self.rounds)
        if self.rounds and (len(self.rounds) not in (2, 3) or self.rounds[0] < 1 or not rising):
            raise InputError(f"option rounds must be two or three rising counts of heads, as 3,6; got {self.rounds}")

    @property
    def gates(self) -> int:
        """Rounds after which an image may leave; known before there is a backbone."""
        return max(1, len(self.rounds) - 1)

    def rounds_on(self, heads: int) -> tuple[int, ...]:
        """The rounds on a backbone of that many heads.

        >>> ThinkingViTOptions().rounds_on(6), ThinkingViTOptions((1, 2, 3)).rounds_on(3)
        ((3, 6), (1, 2, 3))

        Raises: ``InputError`` where it has one head, or the last round has not all of them.
        """
        if heads < 2:
            raise InputError("method thinkingvit needs a backbone of two heads or more: rounds differ in their heads")
        rounds = self.rounds or (heads // 2, heads)
        if rounds[-1] != heads:
            raise InputError(
                f"option rounds must end with all {heads} heads of the backbone, got {','.join(map(str, rounds))}: "
                "give other rounds, or a backbone of as many heads"
            )
        return rounds
