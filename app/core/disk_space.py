"""Free space where this machine stores data."""

import shutil
from pathlib import Path

from app.core.settings import CoreSettings

MIN_FREE_BYTES = 500 * 1024 * 1024


def data_folders(config: CoreSettings) -> list[Path]:
    """Return the instance folder, and the folder of an SQLite database."""
    folders = [config.instance_path]
    if config.database.get_backend_name() == "sqlite":
        folders.append(Path(config.database.database or "").absolute().parent)
    return list(dict.fromkeys(folders))


def list_full_disks(config: CoreSettings) -> dict[Path, int]:
    """Return the free bytes of folders that have less than MIN_FREE_BYTES left."""
    free = {folder: shutil.disk_usage(folder).free for folder in data_folders(config) if folder.exists()}
    return {folder: count for folder, count in free.items() if count < MIN_FREE_BYTES}
