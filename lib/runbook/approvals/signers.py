"""Who may approve: people, their roles and SSH keys, and what one of those keys has signed.

Files in params/approvers/<environment>/, each line of which is checked:

    allowed_signers   user namespaces="runbook-approval"[,valid-before="20270131Z"] type key
    roles.yaml        people: {user: [role, …]}
    revoked           public keys that may sign no more, one a line; optional

`allowed_signers` is ssh-keygen's own format, read more strictly. The sandbox has two demo people instead, in the
records folder; they sign in a namespace of their own, so that nothing of theirs can pass for an approval of the real
system. The signature is left to ssh-keygen, which knows every kind of key, also those in hardware; it is asked about
one person and one key, so that it has no list or pattern to match.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from pydantic import ValidationError

from runbook.config.load import params_directory
from runbook.config.schema import Settings
from runbook.model.errors import BadSettings, Refused
from runbook.model.strict import Name, Part

NAMESPACES = {"google": "runbook-approval", "sandbox": "runbook-approval-sandbox"}
DEMO = {"avery": ["team-lead", "manager"], "blake": ["security", "on-call"]}

# Kind of key → of how many fields it consists.
KINDS = {
    "ssh-ed25519": 2,
    "sk-ssh-ed25519@openssh.com": 3,
    "ecdsa-sha2-nistp256": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
    "ssh-rsa": 3,
}

LIMIT = 2**18
_PERSON = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,99}", re.IGNORECASE)
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\n?")
_TIMES = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ", 15: "%Y%m%d%H%M%SZ"}
ALWAYS = datetime.max.replace(tzinfo=UTC)
Identity = tuple[bytes, ...]  # what makes two keys the same key, however they are written


@dataclass(frozen=True)
class Key:
    """A public key as text (`type base64`), and from when until when it may sign."""

    text: str
    identity: Identity
    after: datetime
    before: datetime


@dataclass(frozen=True)
class Signers:
    """The people who may sign for one environment on one target, checked as a whole when they were loaded."""

    target: str
    environment: str
    keys: Mapping[str, tuple[Key, ...]]
    roles: Mapping[str, frozenset[str]]
    revoked: frozenset[Identity]

    def verify(self, person: str, message: bytes, signature: str, now: datetime) -> Identity:
        """Which of a person's keys signed the message. Raises Refused unless it did and may sign at `now`."""
        if person not in self.keys:
            raise Refused(f"{person!r} is none of those who may sign for {self.environment}")
        identity = _signed_by(signature)
        if identity in self.revoked:
            raise Refused(f"the key that signed for {person} is revoked")
        key = next((k for k in self.keys[person] if k.identity == identity), None)
        if key is None:
            raise Refused(f"the key that signed is none of {person}'s")
        if not key.after <= now < key.before:
            raise Refused(f"the key of {person} may not sign at this time")
        space = NAMESPACES[self.target]
        with tempfile.TemporaryDirectory() as name:
            allowed, armored = Path(name, "allowed"), Path(name, "signature")
            allowed.write_text(f'{person} namespaces="{space}" {key.text}\n')
            armored.write_text(signature)
            arguments = ["-f", str(allowed), "-I", person, "-n", space, "-s", str(armored)]
            if keygen("-Y", "verify", *arguments, message=message).returncode != 0:
                raise Refused(f"the signature of {person} does not fit what is said to be signed")
        return identity


def sign(message: bytes, key: Path, target: str) -> str:
    """The armored signature by a private key, or by the agent's key whose .pub is given. Raises Refused."""
    done = keygen("-Y", "sign", "-n", NAMESPACES[target], "-f", str(key), message=message)
    if done.returncode != 0:
        problem = done.stderr.decode(errors="replace").strip()
        raise Refused(f"{key} did not sign", problem, next="check the path; is the key in the agent (ssh-add -l)?")
    return done.stdout.decode()


def keygen(*arguments: str, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen on a message. Raises Refused where there is none, where this user has no name, which it needs, or
    after two minutes without an answer."""
    if (program := shutil.which("ssh-keygen")) is None:
        raise Refused("there is no ssh-keygen on this machine", next="install OpenSSH (openssh-client); try again.")
    try:
        done = subprocess.run([program, *arguments], input=message, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise Refused("ssh-keygen did not answer for two minutes", next="touch the hardware key; try again.") from None
    if b"No user exists for uid" in done.stderr:
        said, hint = done.stderr.decode(errors="replace").strip(), "run it as a user that /etc/passwd names."
        raise Refused("ssh-keygen does not work for a user without a name", said, next=hint)
    return done


class _Roles(Part):
    people: dict[str, list[Name]]


def signers_of(system: Settings, target: str, records: Path) -> Signers:
    """Who may sign here: those of params/approvers, for the sandbox the demo people. Raises as `load` does."""
    folder = params_directory() / "approvers" / system.environment
    if target == "sandbox":
        folder = records / "sandbox" / "approvers"
        demo_signers(folder)
    return load_signers(folder, target, system.environment, system.contacts)


def load_signers(folder: Path, target: str, environment: str, known: Collection[str]) -> Signers:
    """Read and check a folder of signers; `known` are the roles that there are.

    Raises Refused where nobody is named, and BadSettings with file and line for anything that is not plainly right.
    """
    allowed, roles, revoked = (folder / name for name in ("allowed_signers", "roles.yaml", "revoked"))
    keys: dict[str, list[Key]] = {}
    owners: dict[Identity, str] = {}
    for where, line in _lines(allowed):
        person, key = _allowed(where, line, target)
        if other := owners.get(key.identity):
            raise _bad(where, f"{person} has the same key as {other}: a key stands there once, for one person")
        owners[key.identity] = person
        keys.setdefault(person, []).append(key)
    if not keys:
        raise Refused(
            f"nobody may approve in {environment}",
            f"{_short(allowed)} names no one",
            next="name the approvers, see params/approvers/README.md.",
        )
    people = _people(roles, keys, known)
    gone = frozenset(_key(where, line).identity for where, line in _lines(revoked))
    return Signers(target, environment, {p: tuple(k) for p, k in keys.items()}, people, gone)


def demo_signers(folder: Path) -> None:
    """Make the sandbox's two people, avery and blake, each with a new key; nothing if they are there already."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".approvers-") as name:
        new = Path(name, "approvers")
        new.mkdir(mode=0o700)
        for person in DEMO:
            made = keygen("-q", "-t", "ed25519", "-N", "", "-C", f"{person} of the sandbox", "-f", str(new / person))
            made.check_returncode()
        lines = [f'{p} namespaces="{NAMESPACES["sandbox"]}" {(new / f"{p}.pub").read_text()}' for p in DEMO]
        (new / "allowed_signers").write_text("".join(lines))
        (new / "roles.yaml").write_text(yaml.safe_dump({"people": DEMO}))
        with suppress(OSError):  # another process was faster; or `load` will find nobody
            new.rename(folder)


def _text(path: Path) -> str:
    """The text of a file, "" where there is none. Raises BadSettings for links and for what anybody may write."""
    for part in (path, path.parent, path.parent.parent):
        if part.is_symlink():
            raise _bad(_short(part), "is a symbolic link; signers are read from real files only")
        if part.exists() and part.stat().st_mode & stat.S_IWOTH:
            raise _bad(_short(part), "anybody on this machine may write it: chmod o-w")
    if path.exists() and not path.is_file():
        raise _bad(_short(path), "is no regular file")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            text = file.read(LIMIT + 1)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise _bad(_short(path), f"cannot be read: {error}") from None
    if len(text) > LIMIT:
        raise _bad(_short(path), "is larger than any list of signers")
    return text


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line that says something, with its file and number."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"{_short(path)}, line {number}", line


def _allowed(where: str, line: str, target: str) -> tuple[str, Key]:
    """One line of allowed_signers. Raises BadSettings."""
    person, options, key = [*line.split(None, 2), "", ""][:3]
    if "<" in line:
        raise _bad(where, "is still a placeholder; fill it in")
    if not _PERSON.fullmatch(person):
        raise _bad(where, f"{person!r} must be one user name, without lists, quotes or patterns")
    if options in KINDS:
        raise _bad(where, f'the option namespaces="{NAMESPACES[target]}" is missing')
    given: dict[str, str] = {}
    for option in options.split(","):
        found = re.fullmatch(r'(namespaces|valid-after|valid-before)="([^"]*)"', option)
        if not found or found[1] in given:
            raise _bad(where, f"{option!r} may not stand here, or not twice")
        given[found[1]] = found[2]
    if given.get("namespaces") != NAMESPACES[target]:
        raise _bad(where, f'for the target {target} it must say namespaces="{NAMESPACES[target]}"')
    after, before = given.get("valid-after", "00010101Z"), given.get("valid-before", "99991231Z")
    return person, _key(where, key, _time(where, after), _time(where, before))


def _time(where: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIMES[len(text)]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        raise _bad(where, f"{text!r} is no time in UTC such as 20270131Z or 202701311800Z") from None


def _key(where: str, text: str, after: datetime = ALWAYS, before: datetime = ALWAYS) -> Key:
    """A public key as it stands in a file: kind, base64, comment. Raises BadSettings."""
    kind, code = [*text.split(None, 2), "", ""][:2]
    if kind not in KINDS:
        raise _bad(where, f"{kind!r} is none of the kinds of key that may sign: {', '.join(KINDS)}")
    try:
        fields = _fields(base64.b64decode(code, validate=True))
    except ValueError as error:
        raise _bad(where, f"the public key is damaged: {error}") from None
    if len(fields) != KINDS[kind] or fields[0] != kind.encode():
        raise _bad(where, f"the public key is not of the kind {kind}")
    if kind == "ssh-rsa" and int.from_bytes(fields[2]).bit_length() < 3072:
        raise _bad(where, "an RSA key must have 3072 bits or more")
    return Key(f"{kind} {code}", _identity(fields), after, before)


def _identity(fields: list[bytes]) -> Identity:
    return tuple(field.lstrip(b"\0") for field in fields)  # a number may be written with leading zeros


def _fields(blob: bytes) -> list[bytes]:
    """The strings, each after its length, that keys and signatures consist of. Raises ValueError."""
    fields = []
    while blob:
        end = 4 + int.from_bytes(blob[:4])
        if len(blob) < end:
            raise ValueError("it is cut off")
        fields.append(blob[4:end])
        blob = blob[end:]
    return fields


def _signed_by(signature: str) -> Identity:
    """The key that a signature names. Raises Refused for what is no signature, or one made with an old RSA hash."""
    try:
        armor = _ARMOR.fullmatch(signature)
        blob = base64.b64decode(armor[1].replace("\n", ""), validate=True) if armor else b""
        if blob[:10] != b"SSHSIG\0\0\0\1":
            raise ValueError
        key, _namespace, _reserved, _hash, made = _fields(blob[10:])
        identity = _identity(_fields(key))
        if identity[0] == b"ssh-rsa" and _fields(made)[0] != b"rsa-sha2-512":
            raise ValueError
    except (ValueError, IndexError):
        raise Refused("there is no SSH signature of an accepted kind") from None
    return identity


def _people(path: Path, keys: Collection[str], known: Collection[str]) -> dict[str, frozenset[str]]:
    """Person → roles. Raises BadSettings unless everybody has a key, known roles, and stands there once."""
    try:
        people = _Roles.model_validate(yaml.safe_load(_text(path))).people
        ((_, node),) = yaml.compose(_text(path)).value
    except (ValidationError, yaml.YAMLError, ValueError) as error:
        raise _bad(_short(path), f"is not `people: {{user: [role, …]}}`: {error}") from None
    names = [name.value for name, _ in node.value]
    for name, _ in node.value:
        where, roles = f"{_short(path)}, line {name.start_mark.line + 1}", people.get(name.value, [])
        if names.count(name.value) > 1:
            raise _bad(where, f"{name.value} stands there twice")
        if name.value not in keys:
            raise _bad(where, f"{name.value} has no key in allowed_signers")
        if not roles or not set(roles) <= set(known):
            raise _bad(where, f"{name.value} has no role, or one that is not among {', '.join(known)}")
    if missing := sorted(set(keys) - set(people)):
        raise _bad(_short(path), f"there is no role for {', '.join(missing)}")
    return {person: frozenset(roles) for person, roles in people.items()}


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _bad(where: str, problem: str) -> BadSettings:
    return BadSettings("the signers are not usable", f"{where}: {problem}", next="see params/approvers/README.md.")
