"""Short descriptions of User-Agent headers."""

from functools import lru_cache
from importlib import import_module

NICKNAMES = {"Mac OS X": "macOS", "Mobile Safari": "Safari", "Chrome Mobile": "Chrome", "Firefox Mobile": "Firefox"}


@lru_cache(maxsize=512)
def device_name(user_agent: str) -> str:
    """Return a description like `Firefox on Linux`, or `a program` or `an unknown browser`."""
    if not user_agent:
        return "an unknown browser"
    parsed = import_module("ua_parser").parse(user_agent)  # Loaded on first use: it has many rules.
    browser = NICKNAMES.get(parsed.user_agent.family, parsed.user_agent.family) if parsed.user_agent else None
    system = NICKNAMES.get(parsed.os.family, parsed.os.family) if parsed.os and parsed.os.family != "Other" else None
    if browser and system:
        return f"{browser} on {system}"
    return browser or (f"a browser on {system}" if system else "an unknown browser")
