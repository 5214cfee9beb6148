"""What looks like a secret is found in every usual encoding; what does not stays as it is."""

from __future__ import annotations

import base64
import gzip
import json
import textwrap
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

import pytest

from runbook.config.load import ROOT
from runbook.config.secret_scan import Scan, secrets_in
from tests.slices import every

KNOWN = "s3cr<t/Value+of=the 'new' one&more"
# Secrets that nobody told of, by the rule that must find them. They are put together here, so that no scanner of this
# repository takes them for real ones.
LOOKS = {
    "GitHub token": "ghp_" + "a1B2c3D4" * 5,
    "AWS access key": "AKIA" + "QWERTY1234567890",
    "HubSpot token": "pat-na1-" + "0123abcd-89ef-4567-8901-23456789abcd",
    "Slack token or address": "xoxb-" + "123456789012-abcdefABCDEF",
    "Google API key": "AIza" + "SyD3x4mpl3K3yF0rT3st1ngPurp0ses12345"[:35],
    "Google access token": "ya29." + "a0AfH6SMBx-abcdefghijklmnop",
    "JSON Web Token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "password in a URL": "https://robot:" + "hunter2hunter@db.example.com/x",
}
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "quoted for a URL": lambda text: quote(text, safe=""),
    "escaped as JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "escaped as HTML": escape,
    "gzip and base64": lambda text: base64.b64encode(gzip.compress(text.encode())).decode(),
    "UTF-16": lambda text: repr(text.encode("utf-16")),
    "base64 in lines": lambda text: "\n".join(textwrap.wrap(base64.b64encode((text + "." * 60).encode()).decode(), 40)),
}
MORE: dict[str, Callable[[str], str]] = {
    "reversed": lambda text: text[::-1],
    "in lines": lambda text: "\n".join(text[n : n + 7] for n in range(0, len(text), 7)),
}
PLACES: dict[str, Callable[[str], Any]] = {
    "a text": lambda text: {"text": f"the value is {text} today"},
    "a traceback": lambda text: {"traceback": ["KeyError", f"  File x, line 3: client(key={text!r})"]},
    "a cell of a table": lambda text: {"data": {"text/html": f"<table><tr><td>7</td><td>{text}</td></tr></table>"}},
    "the name of a key": lambda text: {"x": {text: 1}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("encoding", [*ENCODINGS, *MORE])
def test_a_value_that_the_run_handled_is_nowhere(encoding: str, place: str) -> None:
    written = (ENCODINGS | MORE)[encoding](KNOWN)
    clean = json.dumps(Scan([KNOWN.encode()]).data(PLACES[place](written)))
    assert json.dumps(written)[1:-1] not in clean
    assert "(redacted: secret of this run" in clean


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("rule", LOOKS)
def test_what_looks_like_a_secret_is_nowhere(rule: str, encoding: str) -> None:
    written = ENCODINGS[encoding](LOOKS[rule])
    for place in PLACES.values():
        clean = json.dumps(Scan().data(place(written)))
        assert json.dumps(written)[1:-1] not in clean
        assert "(redacted: " in clean
    if encoding == "plain":
        assert f"(redacted: {rule})" in Scan().text(written)


@pytest.mark.parametrize("text", ["password: hunter2hunter", '"db_passwd" = "abc123def"', "API_KEY='a1b2c3d4e5'"])
def test_the_value_beside_the_name_of_a_secret_goes(text: str) -> None:
    assert "(redacted: named as a secret)" in Scan().text(text)


def test_a_whole_key_goes() -> None:
    key = f"-----BEGIN {'PRIVATE'} KEY-----\n{'MIIEvQIBADANBgkqhkiG9w0B/+'.join('ab')}\n-----END {'PRIVATE'} KEY-----"
    for text in (key, json.dumps(key)):
        assert Scan().text(f"is {text} here") in ("is (redacted: key in PEM) here", 'is "(redacted: key in PEM)" here')


@pytest.mark.parametrize(
    "text",
    [
        "gmail-oauth-token: 2 versions ENABLED",
        "gmail-oauth-token: 2026-03-11T13:30:00Z",
        "sha256 " + "0123456789abcdef" * 4,
        "projects/acme-sales-sandbox/secrets/gmail-oauth-token/versions/3",
        "20260311T133000Z-rotate_secret-ab12cd34",
        "bquxjob_7f3c61540310_18ab93Cdef0123Xyz4",
        "vpcServiceControlsUniqueIdentifier: kmbjd2nsfN4GXhBf0sNj1CvSDHv9AcnsyEEHDtHO5HODnEDL",
        "data:image/png;base64," + base64.b64encode(bytes(range(256))).decode(),
        "a password is needed",
        "\x00 nothing",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scan([b"another-Secret1"]).text(text) == text


def test_committed_notebooks_have_no_secret() -> None:
    """So nothing that a usual run shows is taken for one."""
    for path in sorted((ROOT / "runbooks").glob("*.ipynb")):
        assert Scan().file(path.read_bytes()) == path.read_bytes(), path.name


def test_what_was_cleaned_is_clean() -> None:
    scan = Scan([KNOWN.encode()])
    for text in (KNOWN, *LOOKS.values(), *(encode(KNOWN) for encode in ENCODINGS.values())):
        once = scan.text(f"x {text} y")
        assert scan.text(once) == once


def test_variables_with_the_name_of_a_secret_are_known() -> None:
    env = {"DB_PASSWORD": "correct-horse", "HOME": "/home/x", "TOKEN_KIND": "external_account", "X_TOKEN": "/etc/hosts"}
    assert secrets_in(env | {"RUNBOOK_NOTIFY_LEAD": "slack://a/b/c"}) == [b"correct-horse", b"slack://a/b/c"]


@pytest.mark.parametrize(
    "name", every(3, ["x", "token", "password=", "://a:", "-----BEGIN A", " ", 'aws key="', "a\0", "Zm9vYmFyYmF6\n"])
)
def test_no_text_takes_long(name: str) -> None:
    """Some expressions need quadratic time for long lines: on a text of 300 KB they would run for minutes."""
    import time

    began = time.process_time()
    Scan([KNOWN.encode()]).text(name * (300_000 // len(name)))
    assert time.process_time() - began < 10


def test_files_keep_their_form() -> None:
    secret, scan = LOOKS["GitHub token"], Scan()
    lines = scan.file(f'{{"a": "{secret}"}}\n{{"b": 1}}\n'.encode()).splitlines()
    assert [json.loads(line) for line in lines] == [{"a": "(redacted: GitHub token)"}, {"b": 1}]
    assert scan.file(f"a\n{secret}\nb\n".encode()) == b"a\n(redacted: GitHub token)\nb\n"
    assert json.loads(scan.file(json.dumps({"a": [secret]}, indent=3).encode())) == {"a": ["(redacted: GitHub token)"]}
    assert scan.file(b"\xff\xfe" + secret.encode()) == b"\xff\xfe" + secret.encode()
