import threading

import pytest
from argon2 import extract_parameters

from app.auth.passwords import PasswordMatch, Passwords
from app.core.errors import Busy


@pytest.fixture(scope="module")
def passwords():
    return Passwords(memory_kib=8, time_cost=1)


def test_defaults_are_the_owasp_minimum_for_argon2id():
    parameters = extract_parameters(Passwords().hash("a quieter harbour"))

    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (
        "ID",
        19456,
        2,
        1,
    )
    assert (parameters.hash_len, parameters.salt_len) == (32, 16)


def test_password_matches_its_own_hash_only(passwords):
    hashed = passwords.hash("a quieter harbour")

    assert passwords.verify(hashed, "a quieter harbour")
    for other in ("A quieter harbour", "a quieter harbour ", "a quieter harbou", "", "a quieter harbour\x00"):
        assert not passwords.verify(hashed, other)


def test_hashes_have_a_new_salt_each_time(passwords):
    assert passwords.hash("a quieter harbour") != passwords.hash("a quieter harbour")


@pytest.mark.parametrize("password", ["", "\x00", "a\x00b", "пароль", "🦊" * 256, "\ud800", " "], ids=ascii)
def test_password_is_used_exactly_as_entered(passwords, password):
    hashed = passwords.hash(password)

    assert passwords.verify(hashed, password)
    assert not passwords.verify(hashed, password + "x")


def test_password_is_normalized_across_keyboards(passwords):
    composed, decomposed, wide = "Zo\u00eb in \u00c5rhus", "Zoe\u0308 in A\u030arhus", "\uff3ao\u00eb in \u212brhus"
    hashed = passwords.hash(composed)

    assert passwords.verify(hashed, decomposed) is PasswordMatch.RIGHT
    assert passwords.verify(passwords.hash(wide), composed) is PasswordMatch.RIGHT


def test_hash_of_the_unnormalized_password_matches_and_is_outdated(passwords, monkeypatch):
    decomposed = "Zoe\u0308 in A\u030arhus"
    monkeypatch.setattr("app.auth.passwords.normalised", lambda password: password)
    hashed = passwords.hash(decomposed)
    monkeypatch.undo()

    assert passwords.verify(hashed, decomposed) is PasswordMatch.OUTDATED
    assert not passwords.verify(hashed, "Zo\u00eb in \u00c5rhus")


def test_without_a_hash_every_password_is_wrong(passwords):
    assert not passwords.verify(None, "nobody has this password")
    assert not passwords.verify(None, "")


@pytest.mark.parametrize("hashed", ["", "$argon2id$", "plain text", "$2b$12$abcdefghijklmnopqrstuv"])
def test_malformed_hash_matches_no_password(passwords, hashed):
    assert not passwords.verify(hashed, "a quieter harbour")


def test_hash_with_old_parameters_matches_and_is_outdated(passwords):
    stronger = Passwords(memory_kib=16, time_cost=2)
    hashed = passwords.hash("a quieter harbour")

    assert stronger.verify(hashed, "a quieter harbour") is PasswordMatch.OUTDATED
    assert passwords.verify(hashed, "a quieter harbour") is PasswordMatch.RIGHT


def test_unknown_account_costs_the_same_as_a_known_one():
    stronger = Passwords(memory_kib=64, time_cost=2)

    assert extract_parameters(stronger._dummy) == extract_parameters(stronger.hash("a quieter harbour"))


def test_concurrent_hashes_are_limited():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=2, wait=0)
    passwords._slots.acquire()
    assert passwords.hash("one slot is left")

    passwords._slots.acquire()
    with pytest.raises(Busy):
        passwords.hash("no slot is left")
    with pytest.raises(Busy):
        passwords.verify(None, "no slot is left")


def test_slot_is_released_after_an_error():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=1, wait=0)
    for _ in range(3):
        assert not passwords.verify("no hash", "wrong")

    assert passwords.hash("the slot is free")


def test_waiter_gets_a_released_slot():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=1, wait=30)
    passwords._slots.acquire()
    hashed = []
    waiting = threading.Thread(target=lambda: hashed.append(passwords.hash("patience")))
    waiting.start()

    passwords._slots.release()
    waiting.join()

    assert passwords.verify(hashed[0], "patience")


def test_hashes_run_in_as_many_threads_as_slots():
    passwords = Passwords(memory_kib=8, time_cost=1, at_once=2)
    used = set()
    passwords._verdict = lambda *_: used.add(threading.current_thread())
    callers = [threading.Thread(target=passwords.verify, args=(None, "a password")) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len(used) <= 2
    assert not used & set(callers)
