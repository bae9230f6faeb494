from app.auth.access import Words
from app.auth.second_factors import FactorKind
from app.core.feature import Feature
from app.passkeys.ceremonies import use_proof
from app.passkeys.parts import load_button, load_passkeys
from app.passkeys.service import PASSKEY
from app.web.parts import PROOF, SECURITY_SECTION, Part

COPIED = "A passkey of your account may have been copied: its counter went backwards. If in doubt, remove it."

feature = Feature(
    name="passkeys",
    audit_texts={
        "factor.counter_fell": "Passkey “{name}” may have been cloned.",
        "factor.renamed": "Passkey “{before}” renamed to “{after}”.",
    },
    find_use=lambda work: work.factors.find_use(PASSKEY),
    parts=(
        Part(PROOF, "auth/_passkey.html", load_button, place=10),
        Part(SECURITY_SECTION, "account/_passkeys.html", load_passkeys, place=10),
    ),
    factors=(
        FactorKind(
            kind=PASSKEY,
            words=Words("Passkey", "A passkey", "Remove passkey", "Passkey removed."),
            is_way_in=True,
            verify_response=use_proof,
            changes={
                "factor.counter_fell": (
                    "A passkey may have been copied",
                    COPIED,
                ),
            },
        ),
    ),
)
