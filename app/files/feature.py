from app.core.feature import Feature
from app.core.retention import purge_where
from app.files.models import StoredFile

feature = Feature(
    name="files",
    purges=(purge_where(StoredFile, lambda work: StoredFile.expires_at < work.clock()),),
)
