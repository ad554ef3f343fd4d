"""An OpenID provider for tests: its keys, what it publishes of them, and the tokens that it signs."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:  # noqa: ANN401 - JSON.
    return base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class ProviderKeys:
    """One key of each kind, called by the name of its algorithm."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def published(self) -> dict[str, Any]:
        """Return the JSON Web Key Set."""
        numbers, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        coordinates = {"x": base64url(point.x.to_bytes(32, "big")), "y": base64url(point.y.to_bytes(32, "big"))}
        return {
            "keys": [
                {"kty": "RSA", "kid": "RS256", "use": "sig", "n": _number(numbers.n), "e": _number(numbers.e)},
                {"kty": "EC", "kid": "ES256", "crv": "P-256", "alg": "ES256", **coordinates},
                {
                    "kty": "OKP",
                    "kid": "EdDSA",
                    "crv": "Ed25519",
                    "x": base64url(self.ed.public_key().public_bytes_raw()),
                },
            ]
        }

    def sign(self, algorithm: str, message: bytes) -> bytes:
        if algorithm == "RS256":
            return self.rsa.sign(message, padding.PKCS1v15(), SHA256())
        if algorithm == "EdDSA":
            return self.ed.sign(message)
        first, second = decode_dss_signature(self.ec.sign(message, ec.ECDSA(SHA256())))
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")

    def token(self, claims: Any, algorithm: str = "RS256", header: Any = None) -> str:  # noqa: ANN401 - JSON.
        """Return a token that says *claims*; *header* replaces the usual one."""
        used = {"alg": algorithm, "kid": algorithm, "typ": "JWT"} if header is None else header
        message = f"{part(used)}.{part(claims)}"
        return f"{message}.{base64url(self.sign(algorithm, message.encode()))}"


@dataclass(slots=True)
class Provider:
    """An OpenID provider on loopback, which answers what it is told to, and counts what it is asked."""

    url: str
    keys: ProviderKeys
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)  # By path.
    asked: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)

    def publish(self, **changed: object) -> None:
        """Answer as a provider does, but for what is *changed* of its configuration."""
        configuration = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            **changed,
        }
        self.answers["/.well-known/openid-configuration"] = (200, json.dumps(configuration).encode(), {})
        self.answers["/keys"] = (200, json.dumps(self.keys.published()).encode(), {})


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Run a provider for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked.append(self.path)
            status, body, headers = provider.answers.get(self.path, (404, b"", {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            provider.forms.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there.
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_port}", ProviderKeys())
    provider.publish()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
