from app.core.feature import Feature

feature = Feature(
    name="oauth",
    audit_texts={
        "connection.added": "{provider} connected.",
        "connection.removed": "{provider} disconnected.",
    },
)
