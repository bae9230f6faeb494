from app.core.feature import Feature
from app.core.retention import ended_before, purge_where
from app.factor_resets.models import FactorReset

feature = Feature(
    name="factor_resets",
    audit_texts={
        "factor.reset": "All second factors removed by an administrator.",
        "factor.reset_begun": "Removal of all second factors scheduled by an administrator: {reason}",
        "factor.reset_cancelled": "Removal of all second factors cancelled.",
    },
    purges=(purge_where(FactorReset, lambda work: FactorReset.ended_at < ended_before(work)),),
)
