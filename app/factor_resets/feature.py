from app.admin.notices import NoticeSource
from app.core.feature import Feature
from app.core.retention import ended_before, purge_where
from app.factor_resets.models import FactorReset
from app.factor_resets.notices import find_reset_notices
from app.users.permissions import USERS_RESET_FACTORS

feature = Feature(
    name="factor_resets",
    audit_texts={
        "factor.reset": "All second factors removed by an administrator.",
        "factor.reset_begun": "Removal of all second factors scheduled by an administrator: {reason}",
        "factor.reset_cancelled": "Removal of all second factors cancelled.",
    },
    purges=(purge_where(FactorReset, lambda work: FactorReset.ended_at < ended_before(work)),),
    notices=(NoticeSource(USERS_RESET_FACTORS, find_reset_notices, place=40),),
)
