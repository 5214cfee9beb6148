"""Signers are usable as a whole or refused by file and line; a signature counts for one person, key and namespace."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runbook.approvals.signers import Signers, load_signers, signers_of
from runbook.approvals.ssh import sign
from runbook.config.load import ROOT, load_settings
from runbook.model.errors import BadSettings, Exit, Refused

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
KNOWN = ("team-lead", "manager", "security", "on-call")
NS = 'namespaces="runbook-approval"'
BEGIN = "-----BEGIN SSH SIGNATURE-----"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function `keys(name, *kind)` → the private key of that name, made once; `.pub` is beside it."""
    folder = tmp_path_factory.mktemp("keys")

    def make(name: str, *kind: str) -> Path:
        path = folder / name
        if not path.exists():
            command = ["ssh-keygen", "-q", "-N", "", "-C", name, "-f", str(path), *(kind or ("-t", "ed25519"))]
            subprocess.run(command, check=True)
        return path

    return make


def public(key: Path) -> str:
    return Path(f"{key}.pub").read_text().strip()


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(len(f).to_bytes(4) + f for f in fields)).decode()


@pytest.fixture
def folder(tmp_path: Path, keys: Callable[..., Path]) -> Path:
    """A usable params/approvers/production."""
    folder = tmp_path / "approvers" / "production"
    folder.mkdir(parents=True)
    people = {"casey": "team-lead, manager", "drew": "security"}
    (folder / "allowed_signers").write_text("".join(f"{p} {NS} {public(keys(p))}\n" for p in people))
    (folder / "roles.yaml").write_text("people:\n" + "".join(f"  {p}: [{r}]\n" for p, r in people.items()))
    return folder


def load(folder: Path, target: str = "google") -> Signers:
    return load_signers(folder, target, "production", KNOWN)


def test_usable_signers(folder: Path) -> None:
    who = load(folder)
    assert who.roles == {"casey": {"team-lead", "manager"}, "drew": {"security"}}
    assert [len(k) for k in who.keys.values()] == [1, 1]


K = "{key}"  # the public key of a third person, "lee"
LINES = [
    (f"* {NS} {K}", "'*' must be one user name"),
    (f"lee* {NS} {K}", "'lee*' must be one user name"),
    (f"le? {NS} {K}", "'le?' must be one user name"),
    (f"!lee {NS} {K}", "'!lee' must be one user name"),
    (f"lee,kim {NS} {K}", "'lee,kim' must be one user name"),
    (f'"lee kim" {NS} {K}', "must be one user name"),
    (f"-lee {NS} {K}", "'-lee' must be one user name"),
    (f"<user name> {NS} {K}", "is a placeholder"),
    (f"lee {K}", "the option namespaces="),
    (f'lee namespaces="git" {K}', 'the options must say namespaces="runbook-approval"'),
    (f'lee namespaces="*" {K}', 'the options must say namespaces="runbook-approval"'),
    (f'lee namespaces="runbook-approval,git" {K}', "is not an allowed option"),
    (f'lee namespaces="runbook-approval-sandbox" {K}', "the options must say"),
    (f'lee valid-before="20270101Z" {K}', 'the options must say namespaces="runbook-approval"'),
    (f"lee {NS},{NS} {K}", "or is given twice"),
    (f"lee cert-authority,{NS} {K}", "'cert-authority' is not an allowed option"),
    (f"lee {NS},no-touch-required {K}", "is not an allowed option"),
    (f'lee {NS},valid-before="20270101" {K}', "is not a time in UTC"),
    (f'lee {NS},valid-before="soon" {K}', "is not a time in UTC"),
    (f'lee {NS},valid-after="20271399Z" {K}', "is not a time in UTC"),
    (f'lee {NS},valid-before="00010101Z" {K}', "is not a time in UTC"),
    (f'lee {NS},valid-before="20270101Z",valid-after="20270101Z" {K}', "must be later than valid-after"),
    (f'lee {NS},valid-before="20260101000000" {K}', "is not a time in UTC"),
    (f"lee {NS}", "is not a kind of key"),
    (f"lee {NS} ssh-dss {blob(b'ssh-dss', b'x')}", "is not a kind of key"),
    (f"lee {NS} ssh-ed25519-cert-v01@openssh.com {blob(b'x')}", "is not a kind of key"),
    (f"lee {NS} ssh-ed25519 AAAA!", "the public key is not base64"),
    (f"lee {NS} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA", "cannot read this as a public key"),
    (f"lee {NS} ssh-ed25519 {blob(b'ssh-rsa', b'x')}", "cannot read this as a public key of the kind ssh-ed25519"),
    (
        f"lee {NS} ssh-ed25519 {blob(b'ssh-ed25519', b'p' * 32, b'more')}",
        "cannot read this as a public key of the kind ssh-ed25519",
    ),
    (f"lee {NS} ssh-rsa {blob(b'ssh-rsa', b'3', b'0' * 256)}", "3072 bits or more"),
    (f"lee {NS} {{casey}}", "lee has the same key as casey"),
    (f'casey {NS},valid-before="20270101Z" {{casey}}', "casey has the same key as casey; list each key once"),
]


@pytest.mark.parametrize(("line", "problem"), LINES, ids=[f"{n}" for n in range(len(LINES))])
def test_lines_that_are_refused(folder: Path, keys: Callable[..., Path], line: str, problem: str) -> None:
    with (folder / "allowed_signers").open("a") as file:
        file.write(f"\n# a comment\n  {line.format(key=public(keys('lee')), casey=public(keys('casey')))}\n")
    with pytest.raises(BadSettings) as refusal:
        load(folder)
    assert "production/allowed_signers, line 5: " in str(refusal.value)
    assert problem in str(refusal.value)


def test_the_same_rsa_key_written_in_two_ways_is_one_key(folder: Path) -> None:
    number = b"\x00" + b"\xff" * 384
    ways = {"lee": number, "kim": bytes(3) + number}
    lines = [f"{p} {NS} ssh-rsa {blob(b'ssh-rsa', b'3', n)}\n" for p, n in ways.items()]
    (folder / "allowed_signers").write_text("".join(lines))
    with pytest.raises(BadSettings, match="kim has the same key as lee"):
        load(folder)


ROLES = [
    ("people:\n  casey: [manager]\n", "there is no role for drew"),
    ("people:\n  casey: [manager]\n  drew: []\n", "line 3: drew needs one or more of these roles: team-lead, "),
    ("people:\n  casey: [boss]\n  drew: [security]\n", "line 2: casey needs one or more of these roles: team-lead"),
    ("people:\n  casey: [manager]\n  drew: [security]\n  lee: [manager]\n", "line 4: lee has no key"),
    ("people:\n  casey: [manager]\n  drew: [security]\n  casey: [security]\n", "line 2: casey is listed twice"),
    ("people:\n  casey: manager\n  drew: [security]\n", "people.casey"),
    ("people: {}\npersons: {}\n", "persons"),
    ("people: {}\npeople: {}\n", "is not `people:"),
    ("- casey\n", "is not `people:"),
    ("", "is not `people:"),
    ("people: [\n", "is not `people:"),
    ("people: !!python/object/apply:os.getcwd []\n", "is not `people:"),
]


@pytest.mark.parametrize(("text", "problem"), ROLES, ids=[problem for _, problem in ROLES])
def test_roles_that_are_refused(folder: Path, text: str, problem: str) -> None:
    (folder / "roles.yaml").write_text(text)
    with pytest.raises(BadSettings) as refusal:
        load(folder)
    assert "production/roles.yaml" in str(refusal.value)
    assert problem in str(refusal.value)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


FILES = [
    ("allowed_signers", _link, "allowed_signers: is a symbolic link"),
    ("roles.yaml", _link, "roles.yaml: is a symbolic link"),
    ("", _link, "approvers/production: is a symbolic link"),
    ("..", lambda path: _link(path.resolve()), "approvers: is a symbolic link"),
    ("revoked", lambda path: path.symlink_to("nowhere"), "revoked: is a symbolic link"),
    ("allowed_signers", lambda path: path.chmod(0o646), "anybody on this machine may write to it"),
    ("roles.yaml", lambda path: path.chmod(0o666), "anybody on this machine may write to it"),
    ("", lambda path: path.chmod(0o777), "production: anybody on this machine may write to it"),
    ("..", lambda path: path.resolve().chmod(0o777), "approvers: anybody on this machine may write to it"),
    ("allowed_signers", lambda path: path.write_bytes(b"\xff\xfe"), "cannot be read"),
    ("allowed_signers", lambda path: path.write_bytes(b"#" * 2**19), "too large for a list of signers"),
    ("revoked", lambda path: path.mkdir(), "is not a regular file"),
    ("revoked", os.mkfifo, "is not a regular file"),
    ("revoked", lambda path: path.write_text("not a key\n"), "revoked, line 1: 'not'"),
]


@pytest.mark.parametrize(("name", "spoil", "problem"), FILES, ids=[f"{n}" for n in range(len(FILES))])
def test_files_that_are_refused(folder: Path, name: str, spoil: Callable[[Path], None], problem: str) -> None:
    spoil(folder / name if name else folder)
    with pytest.raises(BadSettings) as refusal:
        load(folder)
    assert problem in str(refusal.value)
    assert refusal.value.exit is Exit.BAD_INPUT


@pytest.mark.parametrize("text", [None, "", "# nobody yet\n"])
def test_nobody_named_is_refused(folder: Path, text: str | None) -> None:
    (folder / "allowed_signers").unlink()
    if text is not None:
        (folder / "allowed_signers").write_text(text)
    with pytest.raises(Refused, match="nobody may approve in production"):
        load(folder)


def test_the_template_of_production_is_refused_until_it_is_filled_in() -> None:
    with pytest.raises(BadSettings, match=r"production/allowed_signers, line 3: is a placeholder"):
        load(ROOT / "params" / "approvers" / "production")


def test_the_steps_of_the_readme_add_a_person(folder: Path, tmp_path: Path, keys: Callable[..., Path]) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "runbook_approval").write_bytes(keys("lee").read_bytes())
    (tmp_path / ".ssh" / "runbook_approval.pub").write_text(public(keys("lee")) + "\n")
    readme = (ROOT / "params" / "approvers" / "README.md").read_text()
    steps = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    adding = steps[0].replace("user=casey", "user=lee")
    subprocess.run(["bash", "-euc", adding], cwd=folder, env={**os.environ, "HOME": str(tmp_path)}, check=True)
    who = load(folder)
    assert who.roles["lee"] == {"manager"}
    signature = sign(b"text", keys("lee"), "google")
    (folder / "approval.json").write_text(
        '{"statement": "text", "signature": "' + signature.replace("\n", "\\n") + '"}'
    )
    checking = steps[1].replace("-I casey", "-I lee")
    done = subprocess.run(["bash", "-euc", checking], cwd=folder, capture_output=True, text=True, check=True)
    assert 'Good "runbook-approval" signature for lee' in done.stdout


@pytest.mark.parametrize(
    "kind", [("-t", "ed25519"), ("-t", "ecdsa", "-b", "256"), ("-t", "rsa", "-b", "3072")], ids=lambda k: k[1]
)
def test_a_signature_counts_for_its_text_person_key_and_namespace(
    folder: Path, keys: Callable[..., Path], kind: tuple[str, ...]
) -> None:
    key = keys(f"lee-{kind[1]}", *kind)
    with (folder / "allowed_signers").open("a") as file:
        file.write(f'lee {NS},valid-after="20260101Z",valid-before="202604011200Z" {public(key)}\n')
    with (folder / "roles.yaml").open("a") as file:
        file.write("  lee: [manager]\n")
    who = load(folder)
    signed = sign(b"text", key, "google")
    assert who.verify("lee", b"text", signed, NOW) == " ".join(public(key).split()[:2])
    refused = [
        ("lee", b"texts", signed, NOW, "does not fit"),
        ("casey", b"text", signed, NOW, "not one of casey's keys"),
        ("nobody", b"text", signed, NOW, "'nobody' is none of those"),
        ("lee", b"text", sign(b"text", key, "sandbox"), NOW, "for another namespace"),
        ("lee", b"text", signed, datetime(2025, 12, 31, 23, 59, tzinfo=UTC), "the key of lee is not yet valid"),
        ("lee", b"text", signed, datetime(2026, 4, 1, 12, 0, tzinfo=UTC), "the key of lee has expired"),
        ("lee", b"text", signed.replace("SSH", "PGP"), NOW, "no SSH signature"),
        (
            "lee",
            b"text",
            signed.replace("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg"),
            NOW,
            "does not accept the signature of lee: ",
        ),
        ("lee", b"text", "", NOW, "no SSH signature"),
        ("lee", b"text", signed + signed, NOW, "no SSH signature"),
        ("lee", b"text", f"see below\n{signed}", NOW, "no SSH signature"),
        ("lee", b"text", signed[:-60] + signed[-56:], NOW, "ssh-keygen does not accept the signature of lee: "),
    ]
    for *what, why in refused:
        with pytest.raises(Refused, match=why):
            who.verify(*what)


def test_an_rsa_signature_must_use_sha2_512(folder: Path, keys: Callable[..., Path]) -> None:
    key = keys("lee-rsa", "-t", "rsa", "-b", "3072")
    (folder / "allowed_signers").write_text(f"casey {NS} {public(key)}\ndrew {NS} {public(keys('drew'))}\n")
    signed = sign(b"text", key, "google")
    lines = signed.splitlines()
    weak = base64.b64encode(base64.b64decode("".join(lines[1:-1])).replace(b"rsa-sha2-512", b"rsa-sha2-256")).decode()
    with pytest.raises(Refused, match="of an accepted kind"):
        load(folder).verify("casey", b"text", f"{lines[0]}\n{weak}\n{lines[-1]}\n", NOW)


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com", ""])
def test_a_signature_of_another_algorithm_is_refused(folder: Path, algorithm: str) -> None:
    inner = blob(algorithm.encode(), b"x")
    fields = blob(b"key", b"runbook-approval", b"", b"sha512", base64.b64decode(inner))
    text = base64.b64encode(b"SSHSIG" + (1).to_bytes(4) + base64.b64decode(fields)).decode()
    with pytest.raises(Refused, match="no SSH signature of an accepted kind"):
        load(folder).verify("casey", b"text", f"{BEGIN}\n{text}\n{BEGIN.replace('BEGIN', 'END')}\n", NOW)


def test_a_key_signs_from_its_first_second_until_just_before_its_end(
    folder: Path, keys: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Chicago")  # the times in the file are UTC wherever ssh-keygen runs
    limits = 'valid-after="20260310Z",valid-before="20260311060000Z"'
    (folder / "allowed_signers").write_text(f"casey {NS},{limits} {public(keys('casey'))}\n")
    (folder / "roles.yaml").write_text("people: {casey: [manager]}\n")
    signed = sign(b"text", keys("casey"), "google")
    start, end = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, 6, tzinfo=UTC)
    moment = timedelta(microseconds=1)
    who = load(folder)
    for now in (start, end - moment, (end - moment).astimezone(ZoneInfo("Asia/Tokyo"))):
        assert who.verify("casey", b"text", signed, now)
    for now, why in ((start - moment, "not yet valid"), (end, "has expired"), (end + moment, "has expired")):
        with pytest.raises(Refused, match=why):
            who.verify("casey", b"text", signed, now)


def test_each_of_two_keys_signs_for_itself(folder: Path, keys: Callable[..., Path]) -> None:
    with (folder / "allowed_signers").open("a") as file:
        file.write(f'casey {NS},valid-before="20260101Z" {public(keys("old"))}\ncasey {NS} {public(keys("new"))}\n')
    who = load(folder)
    signed = [who.verify("casey", b"text", sign(b"text", keys(name), "google"), NOW) for name in ("casey", "new")]
    assert signed == [" ".join(public(keys(name)).split()[:2]) for name in ("casey", "new")]
    with pytest.raises(Refused, match="the key of casey has expired"):
        who.verify("casey", b"text", sign(b"text", keys("old"), "google"), NOW)


def test_the_curve_of_a_key_is_that_of_its_kind(folder: Path, keys: Callable[..., Path]) -> None:
    code = public(keys("p384", "-t", "ecdsa", "-b", "384")).split()[1]
    (folder / "allowed_signers").write_text(f"casey {NS} ecdsa-sha2-nistp256 {code}\n")
    with pytest.raises(BadSettings, match="line 1: ssh-keygen cannot read this as a public key"):
        load(folder)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('Invalid "verify-time" option', "older than OpenSSH 9.1, so it cannot check the signature of casey"),
        ("debug1: more\nno memory\nNo.", "ssh-keygen does not accept the signature of casey: no memory; No."),
        ("", "ssh-keygen does not accept the signature of casey: "),
    ],
)
def test_what_ssh_keygen_says_beside_the_known_reasons(
    folder: Path, keys: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    who, signed = load(folder), sign(b"text", keys("casey"), "google")
    (tmp_path / "ssh-keygen").write_text(f"#!/bin/sh\nprintf '{said}' >&2\nexit 255\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Refused) as refusal:
        who.verify("casey", b"text", signed, NOW)
    assert reason in refusal.value.what


def test_hardware_keys_may_be_named(folder: Path, keys: Callable[..., Path]) -> None:
    point = base64.b64decode(public(keys("lee-ecdsa", "-t", "ecdsa", "-b", "256")).split()[1])[-65:]
    kinds = {
        "sk-ssh-ed25519@openssh.com": (b"p" * 32, b"ssh:"),
        "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", point, b"ssh:"),
    }
    with (folder / "allowed_signers").open("a") as file:
        for kind, fields in kinds.items():
            file.write(f"casey {NS} {kind} {blob(kind.encode(), *fields)}\n")
    assert len(load(folder).keys["casey"]) == 3


def test_a_revoked_key_signs_no_more(folder: Path, keys: Callable[..., Path]) -> None:
    signed = {person: sign(b"text", keys(person), "google") for person in ("casey", "drew")}
    (folder / "revoked").write_text(f"# lost\n\n{public(keys('lee'))}\n{public(keys('casey'))}\n")
    with pytest.raises(Refused, match="the key that signed for casey is revoked"):
        load(folder).verify("casey", b"text", signed["casey"], NOW)
    assert load(folder).verify("drew", b"text", signed["drew"], NOW)


def test_a_key_of_the_agent_signs(
    folder: Path, keys: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "casey.pub").write_text(public(keys("casey")))
    with pytest.raises(Refused, match="did not sign"):
        sign(b"text", tmp_path / "casey.pub", "google")
    started = subprocess.run(
        ["ssh-agent", "-s", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True
    )
    pid = re.search(r"SSH_AGENT_PID=(\d+)", started.stdout)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        subprocess.run(["ssh-add", "-q", str(keys("casey"))], check=True)
        signed = sign(b"text", tmp_path / "casey.pub", "google")
    finally:
        os.kill(int(pid[1]), 15)
    assert load(folder).verify("casey", b"text", signed, NOW)


def test_without_ssh_keygen_nothing_is_approved(
    monkeypatch: pytest.MonkeyPatch, folder: Path, keys: Callable[..., Path]
) -> None:
    signed = sign(b"text", keys("casey"), "google")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused, match="no ssh-keygen on this machine"):
        load(folder).verify("casey", b"text", signed, NOW)


def test_the_sandbox_has_two_people_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    system = load_settings("sandbox")
    who = signers_of(system, "sandbox")
    assert who.roles == {"avery": {"team-lead", "manager"}, "blake": {"security", "on-call"}}
    demo = tmp_path / "rehearsal" / "approvers"
    assert (demo / "avery").stat().st_mode & 0o077 == 0
    before = (demo / "avery").read_bytes()
    assert signers_of(system, "sandbox") == who
    assert (demo / "avery").read_bytes() == before
    assert [p.name for p in demo.parent.iterdir()] == ["approvers"]
    with pytest.raises(BadSettings, match='the options must say namespaces="runbook-approval" here'):
        load_signers(demo, "google", "production", KNOWN)
    signed = sign(b"text", demo / "avery", "sandbox")
    assert who.verify("avery", b"text", signed, NOW)


def test_signers_of_a_real_system_come_from_params(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = load_settings("sandbox").model_copy(update={"environment": "production"})
    monkeypatch.setenv("RUNBOOK_PARAMS", str(folder.parents[1]))
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    assert signers_of(system, "google").roles["drew"] == {"security"}
    assert not (tmp_path / "records").exists()
