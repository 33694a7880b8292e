"""The one way in: models and data sets, opened together and checked against each other."""

from dynvit.request import SessionRequest
from dynvit.session.adopt import checkpoint_facts
from dynvit.session.checking import check_weights_are_used
from dynvit.session.classes import class_names_by_count, open_models
from dynvit.session.dataset import find_dataset
from dynvit.session.open_model import OpenModel
from dynvit.session.session import PRETRAINED, Session, open_session
from dynvit.session.wanted import Wanted

__all__ = [
    "PRETRAINED",
    "OpenModel",
    "Session",
    "SessionRequest",
    "Wanted",
    "check_weights_are_used",
    "checkpoint_facts",
    "class_names_by_count",
    "find_dataset",
    "open_models",
    "open_session",
]
