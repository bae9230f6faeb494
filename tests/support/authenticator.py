"""Software authenticators, an app and a passkey, and how users set them up."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import struct
from datetime import datetime
from typing import Any

import cbor2
import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from app.passkeys.webauthn import decoded, encoded
from tests.support.deleted import needs


class App:
    """An authenticator app with this seed, at the time of `clock`."""

    def __init__(self, seed: str, clock: Any) -> None:
        self._totp = pyotp.TOTP(seed)
        self._clock = clock

    def code(self, *, steps: int = 0) -> str:
        at: datetime = self._clock()
        return self._totp.at(at, counter_offset=steps)

    def wrong(self) -> str:
        """Return a code that is not valid now."""
        near = {self.code(steps=step) for step in range(-3, 4)}
        return next(code for code in (f"{number:06}" for number in range(100)) if code not in near)


def set_up(browser: Any, clock: Any) -> tuple[App, list[str]]:
    """Set up codes in a browser that is signed in and confirmed; return the app and the recovery codes."""
    needs("totp")
    began = browser.post("/account/security/begin", page="/account/security")
    assert began.location == "/account/security/codes", began.location
    seed = browser.page("/account/security/codes").text("code.secret").replace(" ", "")
    app = App(seed, clock)
    answer = browser.post("/account/security/codes", {"code": app.code()})
    assert answer.status_code in {200, 302}, answer.text
    clock.advance(seconds=30)  # A code works once, and the next one follows in half a minute.
    return app, re.findall(r'<code class="secret">([^<]+)</code>', answer.text)


class Passkey:
    """A software authenticator: creates one passkey and signs with it. `flags` are those of WebAuthn, section 6.1."""

    PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40

    def __init__(self, origin: str = "http://gatehouse.test", *, verifies: bool = True) -> None:
        self.origin = origin
        self.flags = self.PRESENT | (self.VERIFIED if verifies else 0)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.count = 0
        self.user_handle: str | None = None

    def create(self, options: dict[str, Any], **client: Any) -> str:
        """Return the response of `navigator.credentials.create`, as JSON."""
        self.user_handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        data = self._data(options["rp"]["id"], self.flags | self.ATTESTED) + attested
        attestation = {"fmt": "none", "attStmt": {}, "authData": data}
        response = {"attestationObject": encoded(cbor2.dumps(attestation)), "transports": ["internal", "hybrid"]}
        return self._answer(options, "webauthn.create", response, client)[0]

    def get(self, options: dict[str, Any], *, handle: str | None = None, **client: Any) -> str:
        """Return the response of `navigator.credentials.get`, as JSON."""
        self.count += 1
        data = self._data(options["rpId"], self.flags)
        sent = json.loads(self._answer(options, "webauthn.get", {}, client)[0])
        signed = data + hashlib.sha256(decoded(sent["response"]["clientDataJSON"])).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        sent["response"] |= {
            "authenticatorData": encoded(data),
            "signature": encoded(signature),
            "userHandle": self.user_handle if handle is None else handle,
        }
        return json.dumps(sent)

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _answer(
        self, options: dict[str, Any], kind: str, response: dict[str, Any], client: dict[str, Any]
    ) -> tuple[str, bytes]:
        client_data = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        } | client
        data = json.dumps(client_data).encode()
        answer = {"id": encoded(self.id), "rawId": encoded(self.id), "type": "public-key"}
        return json.dumps(answer | {"response": response | {"clientDataJSON": encoded(data)}}), data


def passkey_options(page: str) -> dict[str, Any]:
    """Return the options that a page passes to the browser's authenticator."""
    return json.loads(html.unescape(re.search(r'data-passkey="([^"]+)"', page)[1]))


def add_passkey(browser: Any, passkey: Passkey | None = None, *, name: str = "Laptop") -> tuple[Passkey, list[str]]:
    """Add a passkey in a browser that is signed in and confirmed; return it and the recovery codes."""
    needs("passkeys")
    passkey = passkey or Passkey()
    page = browser.get("/account/security/passkeys").text
    sent = {"name": name, "credential": passkey.create(passkey_options(page))}
    answer = browser.post("/account/security/passkeys", sent, page="/account")
    assert answer.status_code in {200, 302}, answer.text
    return passkey, re.findall(r'<code class="secret">([^<]+)</code>', answer.text)
