"""The page over all boards."""

from __future__ import annotations

from collections.abc import Sequence

from dynvit.site.glance import Glance
from dynvit.site.pages import page


def index_page(glances: Sequence[Glance]) -> bytes:
    """A card for each board, which method, backbone, division and tier choose."""
    of_board = {
        "method": [list(one.methods) for one in glances],
        "backbone": [[one.board.setting.backbone] for one in glances],
        "division": [list(one.divisions) for one in glances],
        "tier": [list(one.tiers) for one in glances],
    }
    values = {facet: sorted({name for names in of for name in names}) for facet, of in of_board.items()}
    places = [
        {facet: [values[facet].index(name) for name in of[number]] for facet, of in of_board.items()}
        for number in range(len(glances))
    ]
    facets = [(facet, facet.capitalize(), names) for facet, names in values.items()]
    return page("index.html", root="", glances=glances, methods=values["method"], facets=facets, places=places)
