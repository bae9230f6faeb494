import pytest

from app.errors import Busy, WeakPassword
from app.security.passwords import Passwords
from app.security.pwned_passwords import never
from app.services.password_policy import PasswordPolicy


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
def test_a_password_that_is_hard_to_guess_is_taken(policy, password):
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
def test_length_is_counted_in_characters_as_people_count_them(policy, password, reason):
    with pytest.raises(WeakPassword, match=reason):
        policy.prepare(password, words=[])


def test_the_shortest_and_the_longest_password_have_12_and_256_characters(policy):
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
def test_what_others_use_is_refused_with_a_reason(policy, password):
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
def test_the_words_of_the_person_and_the_site_are_worth_nothing(policy, password):
    with pytest.raises(WeakPassword):
        policy.prepare(password, words=["ada.lovelace@example.com", "Ada Lovelace"])


def test_what_is_one_persons_own_word_may_be_another_persons_password(policy):
    assert policy.estimate("wrenhollow-kestrel", words=[]).score >= 3
    assert policy.estimate("wrenhollow-kestrel", words=["wrenhollow@kestrel.example"]).score < 3


def test_words_with_the_marks_of_a_pattern_are_only_words(policy):
    assert policy.prepare("a quieter harbour", words=["(.*)+", "[a-", "\\", "ada+(x@example.com"])


def test_a_stolen_password_is_refused():
    policy = policy_with(is_breached=lambda password: password == "a quieter harbour")

    with pytest.raises(WeakPassword, match="list of stolen passwords"):
        policy.prepare("a quieter harbour", words=[])
    assert policy.prepare("another harbour entirely", words=[])


def test_a_weak_password_is_not_even_asked_about():
    asked = []
    policy = policy_with(is_breached=lambda password: bool(asked.append(password)))

    with pytest.raises(WeakPassword):
        policy.prepare("password1234", words=[])

    assert asked == []


def test_an_estimate_of_any_text_is_a_score_and_advice(policy):
    for text in ("", "x", "password", "\ud800", "\x00", "a" * 10_000, "🦊" * 300, "a quieter harbour"):
        strength = policy.estimate(text, words=["ada@example.com", ""])

        assert 0 <= strength.score <= 4
        assert bool(strength.advice) == (strength.score < 3)


def test_when_all_hashing_slots_are_taken_one_is_told_to_come_back():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=1, wait=0)
    passwords._slots.acquire()

    with pytest.raises(Busy):
        policy_with(passwords=passwords).prepare("a quieter harbour", words=[])
