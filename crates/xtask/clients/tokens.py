"""Tokens made by PyJWT, in all algorithms, against the gateway.

`tokens.py keys DIR` makes keys and a configuration with them in DIR; `tokens.py check DIR URL` asks
the gateway that runs with it. Exits with 1 at a mismatch. Never connects to anything but URL.
"""

import json
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

ISSUER = "https://pyjwt.example/"
AUDIENCE = "ringway"
CONFIGURATION = """
[auth]
issuer = "{issuer}"
audience = "{audience}"

[[auth.key]]
algorithms = ["HS256"]
secret_file = "{folder}/secret"

[[auth.key]]
algorithms = ["RS256", "PS256"]
jwks_file = "{folder}/rsa.jwks.json"

[[auth.key]]
algorithms = ["ES256"]
pem_file = "{folder}/ec.public.pem"

[[auth.key]]
algorithms = ["EdDSA"]
jwks_file = "{folder}/ed.jwks.json"
"""


class Mismatch(Exception):
    """The gateway did not do what it must."""


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_keys(folder):
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, key in pairs.items():
        (folder / f"{name}.pem").write_bytes(pem(key))
    (folder / "secret").write_text(secrets.token_hex(32) + "\n")
    public = pairs["ec"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "ec.public.pem").write_bytes(public)
    for name, algorithm in (("rsa", RSAAlgorithm), ("ed", OKPAlgorithm)):
        own = json.loads(algorithm.to_jwk(pairs[name].public_key()))
        own.update(kid=name, use="sig")
        # Keys for encryption and of unknown kinds are in real documents, too.
        others = [{"kty": "unheard-of", "kid": "new"}, {**own, "kid": "enc", "use": "enc"}]
        document = json.dumps({"keys": others + [own]})
        (folder / f"{name}.jwks.json").write_text(document)
    text = CONFIGURATION.format(issuer=ISSUER, audience=AUDIENCE, folder=folder)
    (folder / "ringway.toml").write_text(text)


def poll(url, token):
    """The status of a poll with this token, and the code of its refusal."""
    request = urllib.request.Request(urllib.parse.urljoin(url, "/poll?wait=0&topic=news"))
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, None
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read()).get("code")


def check(folder, url):
    keys = {name: (folder / f"{name}.pem").read_bytes() for name in ("rsa", "ec", "ed")}
    keys["secret"] = (folder / "secret").read_text().strip()
    now = int(time.time())
    claims = {
        "sub": "ann",
        "exp": now + 60,
        "nbf": now,
        "iat": now,
        "iss": ISSUER,
        "aud": [AUDIENCE, "another"],
        "ringway": {"subscribe": ["news"], "meta": {"by": "PyJWT"}},
    }
    algorithms = [
        ("HS256", "secret", None),
        ("RS256", "rsa", "rsa"),
        ("PS256", "rsa", "rsa"),
        ("ES256", "ec", None),
        ("EdDSA", "ed", "ed"),
    ]
    checks = 0
    for algorithm, key, kid in algorithms:
        headers = {"kid": kid} if kid else None

        def made(changes=None, key=key):
            return jwt.encode({**claims, **(changes or {})}, keys[key], algorithm, headers)

        good = made()
        message, signature = good.rsplit(".", 1)
        of_another = made({"sub": "bob"}).rsplit(".", 1)[1]
        for what, token, wanted in [
            ("a good token", good, (200, None)),
            ("an expired token", made({"exp": now - 60}), (401, "token_expired")),
            ("a token for later", made({"nbf": now + 120}), (401, "token_invalid")),
            ("another issuer", made({"iss": "https://x/"}), (401, "token_invalid")),
            ("another audience", made({"aud": "another"}), (401, "token_invalid")),
            ("another signature", f"{message}.{of_another}", (401, "token_invalid")),
            ("no signature", f"{message}.", (401, "token_invalid")),
        ]:
            found = poll(url, token)
            if found != wanted:
                raise Mismatch(f"{algorithm}, {what}: expected {wanted}, got {found}")
            checks += 1
    none = jwt.encode(claims, None, "none")
    for token, wanted in [(none, (401, "token_invalid")), (None, (401, "token_missing"))]:
        found = poll(url, token)
        if found != wanted:
            raise Mismatch(f"{token!r}: expected {wanted}, got {found}")
        checks += 1
    print(f"PyJWT {jwt.__version__}: {checks} checks, {len(algorithms)} algorithms")


def main(arguments):
    try:
        match arguments:
            case ["keys", folder]:
                make_keys(Path(folder))
            case ["check", folder, url]:
                check(Path(folder), url)
            case _:
                sys.exit("usage: python3 tokens.py keys DIR | check DIR http://HOST:PORT/")
    except Mismatch as mismatch:
        print(f"PyJWT: FAILED {mismatch}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
