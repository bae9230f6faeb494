"""Tables with predicates and small methods; no commits, no queries across tables."""

from app.auth.models.authenticator import RECOVERY, Authenticator
from app.auth.models.challenge import SpentChallenge
from app.auth.models.link import ENDED_BY_SAFETY, UNDOING, OneTimeLink, Purpose, Target, Undoable
from app.auth.models.session import Device, Session
from app.auth.models.throttle import Throttle
from app.auth.models.token import RefreshToken
