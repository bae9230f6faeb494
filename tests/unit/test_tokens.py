import re

import pytest

from app.core.tokens import is_same, keyed_hash, new_salt, new_token, token_hash


def test_tokens_are_256_random_bits_safe_in_a_url():
    tokens = {new_token() for _ in range(1000)}

    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_salts_are_128_random_bits():
    assert len({new_salt() for _ in range(1000)}) == 1000
    assert len(new_salt()) == 16


def test_only_the_hash_of_a_token_is_stored():
    token = new_token()

    assert token not in token_hash(token)
    assert re.fullmatch(r"[0-9a-f]{64}", token_hash(token))
    assert token_hash(token) == token_hash(token)


def test_keyed_hash_depends_on_the_key_and_every_part():
    hashes = {
        keyed_hash("key", "a", "b"),
        keyed_hash("yek", "a", "b"),
        keyed_hash("key", "ab", ""),
        keyed_hash("key", "", "ab"),
        keyed_hash("key", "ab"),
        keyed_hash("key", "b", "a"),
        keyed_hash("key", "a", "b", ""),
    }

    assert len(hashes) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", hashed) for hashed in hashes)


def test_text_and_its_bytes_have_the_same_hash():
    assert keyed_hash("key", "ä") == keyed_hash("key", "ä".encode())


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "🦊", "x" * 100_000], ids=lambda text: ascii(text[:9]))
def test_any_text_can_be_hashed_and_compared(text):
    assert token_hash(text)
    assert keyed_hash("key", text)
    assert is_same(text, text)
    assert not is_same(text, text + "x")
