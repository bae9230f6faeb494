"""Tables with predicates and small methods; no commits, no queries across tables."""

from app.models.api_key import ApiKey
from app.models.authenticator import Authenticator, Factor, FactorReset
from app.models.connection import OAuthIdentity, SpentChallenge
from app.models.file import FileChunk, StoredFile
from app.models.idempotency import IdempotentAnswer
from app.models.invitation import Invitation
from app.models.link import ENDED_BY_SAFETY, UNDOING, OneTimeLink, Purpose, Target, Undoable
from app.models.session import Device, Session
from app.models.site import SiteSetting
from app.models.statistic import ReportSubscriber, Statistic
from app.models.throttle import Throttle
from app.models.token import RefreshToken
from app.models.user_import import Phase, RowOutcome, UserImport, UserImportRow
