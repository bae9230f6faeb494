from app.core.feature import Feature
from app.impersonation.parts import load_button
from app.impersonation.service import Impersonation
from app.web.parts import USER_ACT, Part

feature = Feature(
    name="impersonation",
    audit_texts={
        "impersonation.ended": "Impersonation ended.",
        "impersonation.started": "An administrator impersonated this user: {reason}",
    },
    expirations=(lambda work, at_most: work[Impersonation].process_expired(at_most=at_most),),
    parts=(Part(USER_ACT, "users/_impersonate.html", load_button, place=10),),
)
