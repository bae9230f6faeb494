"""Encryption at rest (AES-256-GCM) under a key derived from SECRET_KEY."""

import base64
import secrets
from collections.abc import Sequence

from app.core.tokens import keyed_hash

NONCE_BYTES = 12
ID_LENGTH = 8


class CannotOpen(Exception):
    """No key of ours sealed it, or not for this purpose."""


def seal(secret: str, *, purpose: str, secret_keys: Sequence[str]) -> str:
    """Encrypt `secret` with the current key, and prefix the key's ID; only the same `purpose` decrypts it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - loaded with the first secret.

    nonce = secrets.token_bytes(NONCE_BYTES)
    box = AESGCM(_key(secret_keys[0])).encrypt(nonce, secret.encode(), purpose.encode())
    return f"{key_id(secret_keys[0])}.{base64.urlsafe_b64encode(nonce + box).decode()}"


def unseal(sealed: str, *, purpose: str, secret_keys: Sequence[str]) -> str:
    """Decrypt a secret, under the current key or an earlier one. Raises CannotOpen."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    sealed_with, _, text = sealed.partition(".")
    for key in secret_keys:
        if key_id(key) == sealed_with:
            try:
                box = base64.urlsafe_b64decode(text)
                opened = AESGCM(_key(key)).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], purpose.encode())
            except (InvalidTag, ValueError):  # ValueError: too short, or no base 64.
                break
            return opened.decode()
    raise CannotOpen


def key_id(secret_key: str) -> str:
    """Return an ID of the key that reveals nothing about it."""
    return keyed_hash(secret_key, "id of the sealing key")[:ID_LENGTH]


def _key(secret_key: str) -> bytes:
    return base64.urlsafe_b64decode(keyed_hash(secret_key, "sealing key") + "=")
