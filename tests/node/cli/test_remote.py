"""Commands for a node elsewhere: signed as a verifier wants it, with keys from where the tools of AWS have them."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from node.cli.failures import WrongUsage
from node.cli.main import entrepot
from node.cli.remote import Credentials, credentials, signed_headers
from protocol.auth.secret import Secret
from protocol.auth.sigv4 import Request, read_signature, verify_signature
from protocol.errors import SignatureInvalid

WHO = Credentials("AKIAIOSFODNN7EXAMPLE", Secret(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
NOW = 1_800_000_000.0


@pytest.mark.parametrize("token", ["", "session"])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/users", ""),
        ("/api/v1/users/a%2Bb%3D%2C.%40_-", "after=x%2By&limit=1000"),
        ("/api/v1/policies/arn:aws:iam::aws:policy/AdministratorAccess", ""),
    ],
)
def test_a_request_is_signed_as_its_verifier_wants_it(path: str, query: str, token: str) -> None:
    who, body = Credentials(WHO.key, WHO.secret, token), b'{"name":"a"}'
    headers = signed_headers(who, "POST", path, query, body, host="registry:5000", region="eu-west-1", now=NOW)
    request = Request("POST", path, query, list(headers.items()))
    signature = read_signature(request)
    payload = hashlib.sha256(body).hexdigest()
    secret = WHO.secret.value.decode()
    verify_signature(request, signature, secret, payload, region="eu-west-1", service="entrepot", now=NOW)
    assert signature.token == token
    with pytest.raises(SignatureInvalid):
        verify_signature(request, signature, "x", payload, region="eu-west-1", service="entrepot", now=NOW)


def test_the_environment_wins_over_the_file_of_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = %s/+=\n"
        "[ops]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n"
    )
    base = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert credentials(base) == Credentials("A", Secret(b"%s/+="))
    assert credentials({**base, "AWS_PROFILE": "ops"}) == Credentials("B", Secret(b"t"), "u")
    given = {**base, "AWS_ACCESS_KEY_ID": "C", "AWS_SECRET_ACCESS_KEY": "v"}
    assert credentials(given) == Credentials("C", Secret(b"v"))
    assert "v" not in repr(credentials(given).secret)
    for environ in ({**base, "AWS_PROFILE": "none"}, {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path)}):
        with pytest.raises(WrongUsage):
            credentials(environ)


@dataclass(slots=True)
class Elsewhere:
    """A node that wants signatures for the region mars."""

    url: str = ""
    regions: list[str] = field(default_factory=list)
    status: int = 200
    answer: bytes = b'{"users":[],"next":null}'


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    node = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            region = self.headers["authorization"].split("/")[2]
            node.regions.append(region)
            status, answer = (node.status, node.answer) if region == "mars" else (403, refusal("for mars, not here"))
            self.send_response(status)
            self.send_header("entrepot-region", "mars")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        node.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield node
        server.shutdown()
        thread.join()


def refusal(message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": "Code", "message": message}})


def run(*arguments: str, **variables: str) -> Result:
    key = {"AWS_ACCESS_KEY_ID": WHO.key, "AWS_SECRET_ACCESS_KEY": WHO.secret.value.decode()}
    nothing = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "ENTREPOT_ENDPOINT"))
    return CliRunner(env={**nothing, **key, **variables}).invoke(entrepot, arguments)


def test_the_region_is_learned_from_the_node(elsewhere: Elsewhere) -> None:
    assert run("--endpoint", elsewhere.url, "user", "ls").exit_code == 0
    assert elsewhere.regions == ["local", "mars"]
    assert run("user", "ls", ENTREPOT_ENDPOINT=elsewhere.url, AWS_REGION="mars").exit_code == 0
    assert elsewhere.regions == ["local", "mars", "mars"]


@pytest.mark.parametrize(("status", "code"), [(403, 5), (404, 4), (500, 1), (400, 5)])
def test_refusals_end_as_those_of_the_own_machine_do(elsewhere: Elsewhere, status: int, code: int) -> None:
    elsewhere.status, elsewhere.answer = status, refusal("no, because")
    result = run("--endpoint", elsewhere.url, "user", "ls", AWS_REGION="mars")
    assert (result.exit_code, result.stderr) == (code, "entrepot: no, because\n")


@pytest.mark.parametrize("endpoint", ["registry", "ftp://registry", "https://", "https://registry/path", "http://a:b"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    assert run("--endpoint", endpoint, "user", "ls").exit_code == 2


def test_nobody_there_is_a_failure_and_a_command_of_this_machine_says_so() -> None:
    assert run("--endpoint", "http://127.0.0.1:1", "user", "ls").exit_code == 1
    assert run("--endpoint", "http://127.0.0.1:1", "repo", "ls").exit_code == 2
