"""The one way in: models and data sets, opened together and checked against each other."""

from dynvit.request import SessionRequest
from dynvit.session.open_model import OpenModel
from dynvit.session.session import Session, Wanted, checkpoint_facts, open_session

__all__ = ["OpenModel", "Session", "SessionRequest", "Wanted", "checkpoint_facts", "open_session"]
