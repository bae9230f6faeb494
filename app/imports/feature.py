from app.api.tags import ApiTag
from app.core.feature import Feature
from app.imports.parts import load_export
from app.imports.permissions import USERS_IMPORT
from app.imports.purges import erase_rows_of, purge_import
from app.web.navigation import AdminPage
from app.web.parts import USERS_ACT, Part

feature = Feature(
    name="imports",
    commands={
        "users import": "app.imports.commands:import_users",
        "users export": "app.imports.commands:export_users",
    },
    admin_pages=(AdminPage(USERS_IMPORT, "users.import", "Imports", place=30),),
    audit_texts={
        "import.done": "User import finished.",
        "import.started": "User import started: {rows} rows.",
        "import.uploaded": "User import uploaded: {file}.",
        "user.imported": "Account created by import {import_id}.",
        "user.list_exported": "List of users exported.",
    },
    parts=(Part(USERS_ACT, "users/_export.html", load_export, place=10),),
    purges=(purge_import,),
    erasures=(erase_rows_of,),
    api_tags=(ApiTag("imports", "Import of users from a CSV file: checked first, then applied.", place=50),),
)
