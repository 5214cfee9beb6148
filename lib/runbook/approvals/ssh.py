"""SSH keys and signatures, judged by ssh-keygen; OpenSSH 9.1 or newer, which reads times in UTC.

ssh-keygen knows every kind of key, also those in hardware. It decides whether a signature fits, which key made it, and
whether that key has expired or is revoked. It accepts some signatures that an approval must not have: those are refused
here, before ssh-keygen is asked.
"""

import base64
import binascii
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from runbook.data_file import table, text_of
from runbook.model import Refused

NAMESPACES = {"google": "runbook-approval", "sandbox": "runbook-approval-sandbox"}
MANIFESTS = {"google": "runbook-manifest", "sandbox": "runbook-manifest-sandbox"}
EXPORTS = {"google": "runbook-export", "sandbox": "runbook-export-sandbox"}

_DATA = table(__file__, "ssh.yaml")
KINDS: list[str] = _DATA["kinds"]
TIME = "%Y%m%d%H%M%SZ"
Identity = str  # a public key as ssh-keygen writes it, so that one key has one text

# ssh-keygen verifies RSA signatures with SHA-256, too.
_ALGORITHMS = {*KINDS, "rsa-sha2-512"} - {"ssh-rsa"}

# ssh-keygen ignores text after a signature.
_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/\n]+={0,2}\n)-----END SSH SIGNATURE-----\n?")


def keygen(*arguments: str | Path, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen with a message as its input.

    Raises Refused if there is no ssh-keygen, if this user has no name, which it needs, or after two minutes without an
    answer.
    """
    if (program := shutil.which("ssh-keygen")) is None:
        raise Refused("there is no ssh-keygen on this machine", next="install OpenSSH (openssh-client); try again.")
    try:
        done = subprocess.run([program, *arguments], input=message, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise Refused("ssh-keygen did not answer for two minutes", next="touch the hardware key; try again.") from None
    if b"No user exists for uid" in done.stderr:
        raise Refused(**text_of(__file__, "no_user", said=done.stderr.decode(errors="replace").strip()))
    return done


def sign(message: bytes, key: Path, target: str, spaces: Mapping[str, str] = NAMESPACES) -> str:
    """Sign with a private key, or with the agent's key whose .pub file is given. Raises Refused."""
    done = keygen("-Y", "sign", "-n", spaces[target], "-f", key, message=message)
    if done.returncode != 0:
        raise Refused(**text_of(__file__, "not_signed", key=key, said=done.stderr.decode(errors="replace").strip()))
    return done.stdout.decode()


def require_algorithm(signature: str) -> None:
    """Raise Refused unless this is one signature, without other text, made with an accepted algorithm.

    Source: PROTOCOL.sshsig of OpenSSH. After a header of ten bytes come key, namespace, a reserved field, hash and
    signature, each after its length; the signature begins with its algorithm.
    """
    blob = b""
    if armor := _ARMOR.fullmatch(signature):
        with suppress(binascii.Error):
            blob = base64.b64decode(armor[1])[10:]
    for _ in range(4):
        blob = blob[4 + int.from_bytes(blob[:4]) :]
    if blob[8 : 8 + int.from_bytes(blob[4:8])].decode(errors="replace") not in _ALGORITHMS:
        raise Refused("there is no SSH signature of an accepted kind")


def refusal(said: bytes, person: str) -> Refused:
    """Make the error for a signature that `ssh-keygen -vvv` did not accept; `said` is its standard error."""
    text = said.decode(errors="replace")
    known = (reason.format(person) for words, reason in _DATA["reasons"].items() if words in text)
    other = "; ".join(line for line in text.splitlines() if not line.startswith("debug"))
    return Refused(next(known, f"ssh-keygen does not accept the signature of {person}: {other}"))


def read_keys(keys: Sequence[str]) -> list[tuple[int, str]]:
    """Read public keys (`kind base64`): the bits and the fingerprint of each, (0, "") for what is not a public key.

    Two texts of the same key have the same fingerprint.
    """
    numbered = "".join(f"{key} {number}\n" for number, key in enumerate(keys))
    lines = keygen("-l", "-E", "sha256", "-f", "-", message=numbered.encode()).stdout.decode().splitlines()
    found = {int(number): (int(bits), fingerprint) for bits, fingerprint, number, _kind in map(str.split, lines)}
    return [found.get(number, (0, "")) for number in range(len(keys))]
