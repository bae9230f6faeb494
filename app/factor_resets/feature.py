from app.admin.notices import NoticeSource
from app.core.feature import Feature
from app.core.retention import ended_before, purge_where
from app.factor_resets.models import FactorReset
from app.factor_resets.notices import find_reset_notices
from app.factor_resets.parts import load_button, load_own_reset, load_reset
from app.factor_resets.permissions import USERS_RESET_FACTORS
from app.web.parts import SECURITY_NOTICE, USER_ACT, USER_NOTICE, Part

feature = Feature(
    name="factor_resets",
    audit_texts={
        "factor.reset_begun": "Removal of all second factors scheduled by an administrator: {reason}",
        "factor.reset_cancelled": "Removal of all second factors cancelled.",
    },
    purges=(purge_where(FactorReset, lambda work: FactorReset.ended_at < ended_before(work)),),
    notices=(NoticeSource(USERS_RESET_FACTORS, find_reset_notices, place=40),),
    commands={"users reset-factors": "app.factor_resets.commands:reset_factors"},
    parts=(
        Part(USER_NOTICE, "users/_factor_reset.html", load_reset, place=10),
        Part(USER_ACT, "users/_reset_factors.html", load_button, place=20),
        Part(SECURITY_NOTICE, "account/_factor_reset.html", load_own_reset, place=10),
    ),
)
