from app.core.feature import Feature

feature = Feature(
    name="factor_resets",
    audit_texts={
        "factor.reset": "All second factors removed by an administrator.",
        "factor.reset_begun": "Removal of all second factors scheduled by an administrator: {reason}",
        "factor.reset_cancelled": "Removal of all second factors cancelled.",
    },
)
