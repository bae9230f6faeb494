import pytest

from app.web.limits import household


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1"),
        ("2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_one_ipv6_network_is_one_client(one, other):
    assert household(one) == household(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("203.0.113.7", "203.0.113.8"),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8"),
        ("::1", "2001:db8::1"),
    ],
)
def test_two_networks_are_two_clients(one, other):
    assert household(one) != household(other)


def test_malformed_address_is_used_as_it_is():
    assert household("") == ""
    assert household("unix:") == "unix:"
