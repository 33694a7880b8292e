"""How the methods that come with dynvit call their points. No torch here: a board is shown without it."""

from __future__ import annotations

from dynvit.wording import PointToSay


def exits_above(point: PointToSay) -> str:
    """DVT: an image leaves at the first exit whose score is at least its threshold."""
    score, thresholds = point.options.get("criterion", "confidence"), _in_order(point)
    return thresholds and f"exits ≥ {thresholds}" + ("" if score == "confidence" else f" by {score}")


def exits_below(point: PointToSay) -> str:
    """ThinkingViT: an image leaves after the first round whose entropy is below its threshold, in nats."""
    thresholds = _in_order(point)
    return thresholds and f"exits < {thresholds} nats"


def gates_above(point: PointToSay) -> str:
    """MIA-Former and AdaViT: what has a probability above the threshold is kept, of blocks or layers, heads and tokens.

    At 0 all of them are.
    """
    kinds = {"depth": "blocks", "layer": "layers", "head": "heads", "token": "tokens"}
    named = {f"{kind}_threshold": word for kind, word in kinds.items()}
    known = {name: word for name, word in named.items() if name in point.knobs}
    if known.keys() != point.knobs.keys():
        return ""
    whole = [word for name, word in known.items() if point.knobs[name] == 0]
    if len(whole) == len(known):
        return "all kept"
    decided = {name: word for name, word in known.items() if word not in whole}
    values = list(dict.fromkeys(point.share(name) for name in decided))
    gates = ["gates ≥ " + (values[0] if len(values) == 1 else ", ".join(point.share(name) for name in decided))]
    return ", ".join([*gates, *(f"all {word}" for word in whole)])


def blocks(point: PointToSay) -> str:
    """The control that runs the first blocks."""
    return f"{point.number('blocks')} blocks"


def pixels(point: PointToSay) -> str:
    """The control that runs on smaller images."""
    return f"{point.number('size')} pixels"


def samples(point: PointToSay) -> str:
    """ATS."""
    return f"{point.number('samples')} samples"


def _in_order(point: PointToSay) -> str:
    """The thresholds of the exits; nothing where there are other knobs, of another version."""
    series = point.series()
    return ", ".join(map(point.share, series["threshold"])) if series.keys() == {"threshold"} else ""
