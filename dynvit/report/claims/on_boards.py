"""Claims tested on a board: accuracy, accuracy under attack, speed."""

from __future__ import annotations

from dynvit.leaderboard.board import Entry
from dynvit.leaderboard.naming import point_names, short_ids
from dynvit.measurements.robustness.measurement import Robustness
from dynvit.measurements.robustness.met import by_attack, differing, met_in
from dynvit.measurements.robustness.result import within
from dynvit.measurements.robustness.summary import RobustEntry, left_within
from dynvit.measurements.speed.measurement import Speed
from dynvit.measurements.speed.summary import LEAST_ROUNDS, enough_rounds, shown, timing_at
from dynvit.measurements.terms import told
from dynvit.report.boards import Board
from dynvit.report.claims.choosing import choose
from dynvit.report.claims.claim import AccuracyTest, RobustTest, SpeedTest
from dynvit.report.claims.differences import Difference, of_balls, of_entries
from dynvit.report.claims.evidence import AbsentError, Evidence, UntoldError
from dynvit.report.claims.outcome import Finding, decided

_SAME_EPS = 0.05


def accuracy(test: AccuracyTest, name: str, evidence: Evidence) -> Finding:
    """Top-1 of one entry less that of another. Raises: ``AbsentError``."""
    board = evidence.board(name)
    against = choose(board, test.against)
    entry = choose(board, test.entry, against)
    found = of_entries(entry, against, board, evidence, name)
    return _of_pair(test, name, board, (entry, against), found)


def robust(test: RobustTest, name: str, evidence: Evidence) -> Finding:
    """Accuracy under the worst attack of one entry less that of another, of those that met the attack of the claim.

    Raises: ``AbsentError``; ``UntoldError`` where the two have not met the same attacks.
    """
    board = evidence.board(name)
    balls = _balls(board, test)
    if not balls:
        raise AbsentError(f"the board was not attacked within {test.norm} {test.eps:.3g}")
    met = {key: _met(ball, key, name, evidence) for key, ball in balls.items()}
    if test.attack is not None:
        balls = {key: ball for key, ball in balls.items() if test.attack in _attacks(ball, met[key], key, board)}
        if not balls:
            raise AbsentError(f"as far as it tells, the board was not attacked by {test.attack}")
    against = choose(board, test.against, measured=balls)
    entry = choose(board, test.entry, against, measured=balls)
    both = met[entry.record_id], met[against.record_id]
    if all(map(told, both)) and both[0] != both[1]:
        raise UntoldError(f"the two have not met the same attacks: they differ in {', '.join(differing(both))}")
    one, other = balls[entry.record_id], balls[against.record_id]
    lines, size = evidence.attacked(name), board.setting.image_size
    kept = [left_within(lines.get(each.record_id, ()), one.norm, one.eps, size) for each in (entry, against)]
    found = of_balls(one, other, kept)
    radius = f"{one.norm} {255 * one.eps:.3g}/255" if one.norm == "linf" else f"{one.norm} {one.eps:.3g}"
    under = f"; {one.accuracy_pct:.1f} % against {other.accuracy_pct:.1f} % within {radius}"
    return _of_pair(test, name, board, (entry, against), found, under)


def speed(test: SpeedTest, name: str, evidence: Evidence) -> Finding:
    """The realised speed-up over dense, at the largest batch that most were timed at.

    Raises: ``AbsentError``, ``UntoldError``.
    """
    board = evidence.board(name)
    summaries = Speed.of(board)
    where = shown(summaries)
    if where is None:
        raise AbsentError("nothing was timed on the board")
    found = {record: timing_at(summary, *where) for record, summary in summaries.items()}
    timed = {record: timing for record, timing in found.items() if timing is not None}
    entry = choose(board, test.entry, measured=timed, any_target=True)
    timing, theory = timed[entry.record_id], timed[entry.record_id].speedup_theoretical
    speedup, low, high = timing.speedup, timing.speedup_low, timing.speedup_high
    if speedup is None or low is None or high is None or not theory:
        raise UntoldError("its timing is of no valid round, or of no theoretical speed-up")
    if not enough_rounds(timing):
        raise UntoldError(f"its timing is of {timing.rounds_valid or 'untold'} valid rounds, and {LEAST_ROUNDS} decide")
    unit, by = ("of theory", theory) if test.of_theory else ("× dense", 1.0)
    outcome, because = decided(low / by, high / by, test)
    what = f"{named(board, entry)}: {speedup:.2f}× of {theory:.2f}× at batch {where[1]}, {where[0]}"
    measured = (
        f"{speedup / by:.2f} [{low / by:.2f}, {high / by:.2f}] {unit}, least and most of {timing.rounds_valid} rounds"
    )
    return Finding(name, outcome, what, measured, because)


def named(board: Board, entry: Entry) -> str:
    """Method and point, id, cost and accuracy."""
    short = short_ids(each.record_id for each in board.entries)[entry.record_id]
    share = 100 * entry.gmacs_mean / board.setting.dense_gmacs
    point = " ".join(f"{entry.method} {point_names(board)[entry.record_id]}".split())
    return f"{point} (`{short}`, {share:.1f} % of dense, {entry.top1_pct:.2f} %)"


def _of_pair(
    test: AccuracyTest | RobustTest,
    name: str,
    board: Board,
    pair: tuple[Entry, Entry],
    found: Difference,
    more: str = "",
) -> Finding:
    outcome, because = decided(found.low, found.high, test)
    if not _trained_alike(*pair):
        outcome, because = "not testable here", "the board does not say that both were trained alike"
    what = " against ".join(named(board, entry) for entry in pair) + more
    return Finding(name, outcome, what, str(found), because)


def _trained_alike(first: Entry, second: Entry) -> bool:
    """Within a board the fine-tuned division has one recipe from one start, and off the shelf nothing is trained."""
    divisions = {entry.training.division if entry.training else None for entry in (first, second)}
    return divisions in ({"fine-tuned"}, {"off-the-shelf"})


def _balls(board: Board, test: RobustTest) -> dict[str, RobustEntry]:
    """By record id: the ball of the radius nearest to the claim's, the same for all."""
    found = [
        (name, ball) for name, summary in Robustness.of(board).items() for ball in summary.accuracy if _near(ball, test)
    ]
    eps = min({ball.eps for _, ball in found}, key=lambda eps: (abs(eps - test.eps), eps), default=None)
    return {name: ball for name, ball in found if ball.eps == eps}


def _met(ball: RobustEntry, record_id: str, name: str, evidence: Evidence) -> str | None:
    """What a row's accuracy has withstood: by its lines where these are all, else as the board says; None: not told."""
    size = evidence.board(name).setting.image_size
    tried = within(evidence.attacked(name).get(record_id, ()), ball.norm, ball.eps, size)
    return met_in(tried) if len(tried) == ball.attacks else ball.met


def _attacks(ball: RobustEntry, met: str | None, record_id: str, board: Board) -> set[str]:
    """The attacks that a row is known to have met: without its lines the strongest of each radius, if no more."""
    smaller = (b for b in Robustness.of(board)[record_id].accuracy if b.norm == ball.norm and b.eps <= ball.eps)
    return set(by_attack(met)) or {each.strongest.partition(" (")[0] for each in smaller}


def _near(ball: RobustEntry, test: RobustTest) -> bool:
    return ball.norm == test.norm and abs(ball.eps - test.eps) <= _SAME_EPS * test.eps
