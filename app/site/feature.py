from app.core.feature import Feature

feature = Feature(
    name="site",
    audit_texts={"site.changed": "Site settings changed."},
)
