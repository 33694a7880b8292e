"""The checkpoints that A-ViT's authors published, and their layout.

One archive has two torch pickles, with a DeiT's weights under ``model``; A-ViT adds none. γ and β stand in the files'
names: ``tiny-10-30.pth``, ``small-10-75.pth``. An archive is not fetched: unpack it, and give a file's path.
"""

from __future__ import annotations

import re
from pathlib import Path

from dynvit.backbones.deit import deit_of
from dynvit.backbones.deit_files import CROP_PCT, read_published, weights_under
from dynvit.backbones.weights import compare
from dynvit.errors import InputError

from .method import AViTModel
from .options import AViTOptions

_GATE = re.compile(r"-(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)\.pth$")


def load(path: str) -> AViTModel:
    """The model, in eval mode, with every size read from the tensors.

    Raises: ``InputError`` for a file that is missing, damaged, contains code, has another layout, or whose name does
    not end with γ and β.
    """
    state = weights_under(read_published(path), ("model",), path, "A-ViT's")
    gate = _GATE.search(Path(path).name)
    if gate is None:
        raise InputError(
            f"checkpoint {path} does not say its γ and β: name it as its authors do, small-10-75.pth for γ = 10, β = 75"
        )
    options = AViTOptions(scale=float(gate[1]), center=float(gate[2]))
    model = AViTModel(deit_of(state, path, crop_pct=CROP_PCT), options)
    compare(state, model.backbone.state_dict(), path, "an A-ViT of these sizes")
    model.backbone.load_state_dict(dict(state))
    return model.eval()
