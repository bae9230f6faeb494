from app.core.feature import Feature
from app.impersonation.service import Impersonation

feature = Feature(
    name="impersonation",
    audit_texts={
        "impersonation.ended": "Impersonation ended.",
        "impersonation.started": "An administrator impersonated this user: {reason}",
    },
    expirations=(lambda work, at_most: work[Impersonation].process_expired(at_most=at_most),),
)
