"""Who may approve: people with their roles and SSH keys, and whether one of these keys signed a message.

The files are in params/approvers/<environment>/; every line is checked:

    allowed_signers   user namespaces="runbook-approval"[,valid-before="20270131Z"] type key
    roles.yaml        people: {user: [role, …]}
    revoked           public keys that may no longer sign, one a line; optional

`allowed_signers` is ssh-keygen's own format, read more strictly: ssh-keygen accepts patterns for names, keys that
several people share, certificate authorities and short RSA keys. It judges the signatures, see ssh.py. The sandbox
has two demo people instead, in the records directory. They sign in a separate namespace, so their signatures are never
valid for a real system.
"""

import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from pydantic import ValidationError

from runbook.approvals import ssh
from runbook.config import Settings, params_directory
from runbook.data_file import text_of
from runbook.model import BadSettings, Refused, nearest
from runbook.model.operations import Rule
from runbook.model.strict import Name, Part
from runbook.records import probe, records_directory

DEMO = {"avery": ["team-lead", "manager"], "blake": ["security", "on-call"]}
LIMIT = 2**18
ATTESTER = "attester"
_PERSON = re.compile(r"[a-z0-9][a-z0-9._+@-]{0,99}", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"[2-9]\d{3}(\d{4}|\d{8}|\d{10})Z", re.ASCII)


class _Roles(Part):
    people: dict[str, list[Name]]


@dataclass(frozen=True)
class Signers:
    """The people who may sign for one environment on one target, checked as a whole when they were loaded.

    `keys`: person → lines of allowed_signers without the name. `revoked`: public keys that may no longer sign.
    """

    target: str
    environment: str
    keys: Mapping[str, tuple[str, ...]]
    roles: Mapping[str, frozenset[str]]
    revoked: tuple[str, ...]
    spaces: Mapping[str, str] = field(default_factory=lambda: ssh.NAMESPACES)

    def verify(self, person: str, message: bytes, signature: str, now: datetime) -> ssh.Identity:
        """Find which of a person's keys signed the message. Raises Refused unless one did that may sign at `now`.

        ssh-keygen sees this person's own lines only, so that no other line can match.
        """
        if person not in self.keys:
            raise Refused(f"{person!r} is none of those who may sign for {self.environment}")
        ssh.require_algorithm(signature)
        with tempfile.TemporaryDirectory() as name:
            allowed, revoked, armored = (Path(name, file) for file in ("allowed", "revoked", "signature"))
            allowed.write_text("".join(f"{person} {key}\n" for key in self.keys[person]))
            revoked.write_text("".join(f"{key}\n" for key in self.revoked))
            armored.write_text(signature)
            files = ["-f", allowed, "-r", revoked, "-s", armored]
            options = ["-I", person, "-n", self.spaces[self.target], f"-Overify-time={now.astimezone(UTC):{ssh.TIME}}"]
            done = ssh.keygen("-vvv", "-Y", "verify", *files, *options, "-Oprint-pubkey", message=message)
        if done.returncode != 0:
            raise ssh.refusal(done.stderr, person)
        return done.stdout.decode().splitlines()[-1]


def signers_of(system: Settings, target: str) -> Signers:
    """Load the people who may sign here: from params/approvers, or the demo people of the sandbox.

    Raises what `load_signers` raises.
    """
    folder = folder_of(system, target)
    if target == "sandbox":
        demo_signers(folder)
    return load_signers(folder, target, system.environment, system.contacts)


def require_role(signers: Signers, rule: Rule, who: str, role: str) -> None:
    """Raise Refused unless the role signs plans of this rule, and this person has it: says who could sign."""
    roles = [*rule.signers, *["on-call"] * rule.alone_in_p1]
    having = sorted(name for name, its in signers.roles.items() if role in its)
    about = {"who": who, "role": role, "roles": " and ".join(rule.signers), "environment": signers.environment}
    about |= {"having": ", ".join(having) or "nobody", "everybody": ", ".join(signers.roles)}
    about["near"] = nearest(who, having) or "ask who may change params/approvers."
    if role not in roles:
        raise Refused(**text_of(__file__, "wrong_role", **about | {"near": nearest(role, roles)}))
    if who not in signers.roles:
        raise Refused(**text_of(__file__, "not_an_approver", **about))
    if role not in signers.roles[who]:
        raise Refused(**text_of(__file__, "not_the_role", **about))


def folder_of(system: Settings, target: str) -> Path:
    """Where the files are of those who may sign here."""
    return demo_folder(system) if target == "sandbox" else params_directory() / "approvers" / system.environment


def demo_folder(system: Settings) -> Path:
    """Where the demo people's files and keys are."""
    return records_directory(system).parent / "approvers"


def load_signers(folder: Path, target: str, environment: str, known: Collection[str]) -> Signers:
    """Read and check a directory of signers; `known` are the roles that exist.

    Raises Refused if nobody is named, and BadSettings with file and line for everything else that is wrong.
    """
    keys, revoked = _keys(folder, "allowed_signers", ssh.NAMESPACES[target], environment)
    return Signers(target, environment, keys, _people(folder / "roles.yaml", keys, known), revoked)


def attesters_of(system: Settings, target: str, spaces: Mapping[str, str] = ssh.MANIFESTS) -> Signers:
    """Who may sign manifests here, or seal exports, by the namespaces: people and schedules in params/approvers.

    In the sandbox, the demo people. Raises as above.
    """
    if target == "sandbox":
        demo, old = signers_of(system, target), ssh.NAMESPACES[target]
        keys, revoked = demo.keys, demo.revoked
    else:
        old = ssh.MANIFESTS[target]
        keys, revoked = _keys(folder_of(system, target), "attesters", old, system.environment)
    keys = {name: tuple(key.replace(old, spaces[target], 1) for key in its) for name, its in keys.items()}
    return Signers(target, system.environment, keys, dict.fromkeys(keys, frozenset({ATTESTER})), revoked, spaces)


def _keys(folder: Path, name: str, space: str, environment: str) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Person → lines of a file in the format of allowed_signers, and the revoked keys."""
    allowed, revoked = folder / name, folder / "revoked"
    signers = [(where, *_allowed(where, line, space)) for where, line in _lines(allowed)]
    if not signers:
        raise Refused(**text_of(__file__, "nobody", environment=environment, file=_short(allowed)))
    gone = [(where, _key(where, line)) for where, line in _lines(revoked)]
    keys, owners = dict[str, tuple[str, ...]](), dict[str, str]()
    fingerprints = _fingerprints([*((where, key) for where, _, _, key in signers), *gone])
    for (where, person, options, key), fingerprint in zip(signers, fingerprints, strict=False):
        if other := owners.get(fingerprint):
            raise _bad(where, f"{person} has the same key as {other}; list each key once, for one person")
        owners[fingerprint] = person
        keys[person] = (*keys.get(person, ()), f"{options} {key}")
    return keys, tuple(key for _, key in gone)


def demo_signers(folder: Path) -> None:
    """Create the two people of the sandbox, avery and blake, each with a new key. Raises Refused, NoRecord."""
    if folder.exists():
        return
    probe(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".approvers-") as name:
        new = Path(name, "approvers")
        new.mkdir(mode=0o700)
        for person in DEMO:
            words = ("-q", "-t", "ed25519", "-N", "", "-C", f"{person} of the sandbox", "-f", new / person)
            ssh.keygen(*words).check_returncode()
        lines = [f'{p} namespaces="{ssh.NAMESPACES["sandbox"]}" {(new / f"{p}.pub").read_text()}' for p in DEMO]
        (new / "allowed_signers").write_text("".join(lines))
        (new / "roles.yaml").write_text(yaml.safe_dump({"people": DEMO}))
        with suppress(OSError):  # another process was faster; or `load` will find nobody
            new.rename(folder)


def _text(path: Path) -> str:
    """The text of a file, "" if there is none. Raises BadSettings for a link, and if anybody may write to it."""
    for part in (path, path.parent, path.parent.parent):
        if part.is_symlink():
            raise _bad(_short(part), "is a symbolic link; signers are read from real files only")
        if part.exists() and part.stat().st_mode & stat.S_IWOTH:
            raise _bad(_short(part), "anybody on this machine may write to it; run chmod o-w")
    _need(path.is_file() or not path.exists(), _short(path), "is not a regular file")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
            text = file.read(LIMIT + 1)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise _bad(_short(path), f"cannot be read: {error}") from None
    _need(len(text) <= LIMIT, _short(path), "is too large for a list of signers")
    return text


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line except blank lines and comments, with its file and number."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"{_short(path)}, line {number}", line


def _allowed(where: str, line: str, space: str) -> tuple[str, str, str]:
    """One line of allowed_signers: person, options, key. Raises BadSettings."""
    person, options, key = [*line.split(None, 2), "", ""][:3]
    _need("<" not in line, where, "is a placeholder; fill it in")
    _need(_PERSON.fullmatch(person), where, f"{person!r} must be one user name, without lists, quotes or patterns")
    _need(options not in ssh.KINDS, where, f'the option namespaces="{space}" is missing')
    given = dict[str, str]()
    for option in options.split(","):
        found = re.fullmatch(r'(namespaces|valid-after|valid-before)="([^"]*)"', option)
        if not found or found[1] in given:
            raise _bad(where, f"{option!r} is not an allowed option, or is given twice")
        given[found[1]] = found[2]
    if given.pop("namespaces", "") != space:
        raise _bad(where, f'the options must say namespaces="{space}" here')
    start = _time(where, given.get("valid-after", "20000101Z"))
    last = _time(where, given.get("valid-before", "99991231Z")) - timedelta(seconds=1)  # for ssh-keygen the last second
    _need(start < last, where, "valid-before must be later than valid-after")
    valid = f'valid-after="{start:{ssh.TIME}}",valid-before="{last:{ssh.TIME}}"'
    return person, f'namespaces="{space}",{valid}', _key(where, key)


def _time(where: str, text: str) -> datetime:
    with suppress(ValueError):
        if _TIME.fullmatch(text):
            return datetime.strptime(text[:-1].ljust(14, "0") + "Z", ssh.TIME).replace(tzinfo=UTC)
    raise _bad(where, f"{text!r} is not a time in UTC, such as 20270131Z or 202701311800Z")


def _key(where: str, text: str) -> str:
    """The kind and the base64 text of a public key in a file. Raises BadSettings."""
    kind, code = [*text.split(None, 2), "", ""][:2]
    _need(kind in ssh.KINDS, where, f"{kind!r} is not a kind of key that may sign: {', '.join(ssh.KINDS)}")
    _need(re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", code), where, "the public key is not base64")
    return f"{kind} {code}"


def _fingerprints(keys: list[tuple[str, str]]) -> list[str]:
    """The fingerprint of each key; a key comes with its file and line. Raises BadSettings."""
    found = ssh.read_keys([key for _, key in keys])
    for (where, key), (bits, _) in zip(keys, found, strict=True):
        kind = key.split()[0]
        _need(bits, where, f"ssh-keygen cannot read this as a public key of the kind {kind}")
        _need(kind != "ssh-rsa" or bits >= 3072, where, f"an RSA key must have 3072 bits or more; this one has {bits}")
    return [fingerprint for _, fingerprint in found]


def _people(path: Path, keys: Collection[str], known: Collection[str]) -> dict[str, frozenset[str]]:
    """Person → roles. Raises BadSettings unless everybody is listed once, with a key and known roles."""
    try:
        people = _Roles.model_validate(yaml.safe_load(_text(path))).people
        ((_, node),) = yaml.compose(_text(path)).value
    except (ValidationError, yaml.YAMLError, ValueError) as error:
        at = str(error).splitlines()[1:2] if isinstance(error, ValidationError) else [str(error)]
        raise BadSettings(**text_of(__file__, "no_people", file=_short(path), said=" ".join(at))) from None
    names = [name.value for name, _ in node.value]
    for name, _ in node.value:
        where, roles = f"{_short(path)}, line {name.start_mark.line + 1}", people.get(name.value, [])
        _need(names.count(name.value) == 1, where, f"{name.value} is listed twice")
        _need(name.value in keys, where, f"{name.value} has no key in allowed_signers")
        good = roles and set(roles) <= set(known)
        _need(good, where, f"{name.value} needs one or more of these roles: {', '.join(known)}")
    missing = sorted(set(keys) - set(people))
    _need(not missing, _short(path), f"there is no role for {', '.join(missing)}")
    return {person: frozenset(roles) for person, roles in people.items()}


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _need(met: object, where: str, problem: str) -> None:
    if not met:
        raise _bad(where, problem)


def _bad(where: str, problem: str) -> BadSettings:
    return BadSettings(**text_of(__file__, "not_usable", where=where, problem=problem))
