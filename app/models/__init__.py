"""Tables with predicates and small methods; no commits, no queries across tables."""

from app.models.api_key import ApiKey
from app.models.connection import OAuthIdentity, SpentChallenge
from app.models.invitation import Invitation
from app.models.site import SiteSetting
from app.models.statistic import ReportSubscriber, Statistic
from app.models.user_import import Phase, RowOutcome, UserImport, UserImportRow
