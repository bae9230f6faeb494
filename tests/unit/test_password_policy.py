import pytest

from app.auth.passwords import Passwords
from app.auth.pwned_passwords import never
from app.auth.services.password_policy import PasswordPolicy
from app.core.errors import Busy, WeakPassword


def policy_with(*, is_breached=never, site_words=("Gatehouse", "https://accounts.example.com"), passwords=None):
    return PasswordPolicy(
        passwords=passwords or Passwords(memory_kib=8, time_cost=1),
        min_length=12,
        max_length=256,
        site_words=site_words,
        is_breached=is_breached,
    )


@pytest.fixture(scope="module")
def policy():
    return policy_with()


@pytest.mark.parametrize(
    "password",
    [
        "a quieter harbour",
        "correct horse battery staple",
        "Xq9$kLw2#vBn",
        "пароль длинный и странный",
        "🦊🌲🎻🧭🪁🧶🥁🛶🧊🪐🧲🪵",
        "  leading and trailing spaces  ",
        "é" * 6 + "quiet harbours",
        "a harbour of 256 letters: " + "kd83hf7s" * 28 + "kd83hf",
    ],
)
def test_strong_password_is_accepted(policy, password):
    assert policy.prepare(password, words=["ada@example.com", "Ada Lovelace"]).hashed.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "at least 12"),
        ("Xq9$kLw2#vB", "at least 12"),
        ("🦊" * 11, "at least 12"),
        ("x" * 257, "at most 256"),
        ("a quieter harbour\ud800", "characters you can type"),
    ],
    ids=ascii,
)
def test_length_is_counted_in_grapheme_clusters(policy, password, reason):
    with pytest.raises(WeakPassword, match=reason):
        policy.prepare(password, words=[])


def test_length_limits_are_12_and_256_characters(policy):
    assert policy.prepare("Xq9$kLw2#vBn", words=[])
    assert policy.prepare(("kd83 quiet harbour " * 20)[:256], words=[])


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "123456789012",
        "qwertyuiop12",
        "aaaaaaaaaaaa",
        "iloveyou1234",
        "passwordpassword",
        "abcdefghijkl",
        "1q2w3e4r5t6y",
        "administrator",
        "Password123!",
        "qwerty123456",
        "111111111111",
        "letmein12345",
        "zaq12wsxcde3",
        "sunshine1234",
    ],
)
def test_common_password_is_refused_with_a_reason(policy, password):
    with pytest.raises(WeakPassword) as refusal:
        policy.prepare(password, words=[])

    assert str(refusal.value).endswith("Use a few random words.")


@pytest.mark.parametrize(
    "password",
    [
        "gatehousegatehouse",
        "Gatehouse-2026",
        "accounts.example.com",
        "ada@example.com",
        "adalovelace12",
        "Lovelace-Ada-1",
        "LOVELACElovelace",
        "ada.lovelace@example.com",
    ],
)
def test_words_of_the_user_and_the_site_add_no_strength(policy, password):
    with pytest.raises(WeakPassword):
        policy.prepare(password, words=["ada.lovelace@example.com", "Ada Lovelace"])


def test_one_users_name_may_be_anothers_password(policy):
    assert policy.estimate("wrenhollow-kestrel", words=[]).score >= 3
    assert policy.estimate("wrenhollow-kestrel", words=["wrenhollow@kestrel.example"]).score < 3


def test_words_with_regular_expression_characters_are_plain_words(policy):
    assert policy.prepare("a quieter harbour", words=["(.*)+", "[a-", "\\", "ada+(x@example.com"])


def test_breached_password_is_refused():
    policy = policy_with(is_breached=lambda password: password == "a quieter harbour")

    with pytest.raises(WeakPassword, match="list of stolen passwords"):
        policy.prepare("a quieter harbour", words=[])
    assert policy.prepare("another harbour entirely", words=[])


def test_weak_password_is_not_sent_to_the_service():
    requests = []
    policy = policy_with(is_breached=lambda password: bool(requests.append(password)))

    with pytest.raises(WeakPassword):
        policy.prepare("password1234", words=[])

    assert requests == []


def test_estimate_of_any_text_is_a_score_and_advice(policy):
    for text in ("", "x", "password", "\ud800", "\x00", "a" * 10_000, "🦊" * 300, "a quieter harbour"):
        strength = policy.estimate(text, words=["ada@example.com", ""])

        assert 0 <= strength.score <= 4
        assert bool(strength.advice) == (strength.score < 3)


def test_busy_hashing_raises_busy():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=1, wait=0)
    passwords._slots.acquire()

    with pytest.raises(Busy):
        policy_with(passwords=passwords).prepare("a quieter harbour", words=[])
