import pytest

from app.core.user_agents import device_name
from tests.support.browser import FIREFOX, IPHONE

CHROME = "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 {rest}"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (IPHONE, "Safari on iOS"),
        (CHROME.format(system="Windows NT 10.0; Win64; x64", rest="Safari/537.36"), "Chrome on Windows"),
        (CHROME.format(system="Macintosh; Intel Mac OS X 10_15_7", rest="Safari/537.36"), "Chrome on macOS"),
        (CHROME.format(system="Linux; Android 15; Pixel 9", rest="Mobile Safari/537.36"), "Chrome on Android"),
        (CHROME.format(system="Windows NT 10.0", rest="Safari/537.36 Edg/142.0.0.0"), "Edge on Windows"),
        ("", "an unknown browser"),
        ("something of my own", "an unknown browser"),
        ("\x00\x1b[31m", "an unknown browser"),
        ("(((((" * 100, "an unknown browser"),
    ],
    ids=lambda value: ascii(value[-40:]),
)
def test_user_agent_is_shortened_to_browser_and_system(user_agent, name):
    assert device_name(user_agent) == name
