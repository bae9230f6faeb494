from app.core.feature import Feature

feature = Feature(
    name="passkeys",
    audit_texts={
        "factor.counter_fell": "Passkey “{name}” may have been cloned.",
        "factor.renamed": "Passkey “{before}” renamed to “{after}”.",
    },
)
