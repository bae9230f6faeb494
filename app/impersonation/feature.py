from app.core.feature import Feature
from app.impersonation.parts import load_banner, load_button
from app.impersonation.principal import act_as
from app.impersonation.service import Impersonation
from app.web.parts import BANNER, USER_ACT, Part

feature = Feature(
    name="impersonation",
    audit_texts={
        "impersonation.ended": "Impersonation ended.",
        "impersonation.started": "An administrator impersonated this user: {reason}",
    },
    expirations=(lambda work, at_most: work[Impersonation].process_expired(at_most=at_most),),
    act_as=act_as,
    parts=(
        Part(USER_ACT, "users/_impersonate.html", load_button, place=10),
        Part(BANNER, "_impersonation_banner.html", load_banner, place=10),
    ),
)
