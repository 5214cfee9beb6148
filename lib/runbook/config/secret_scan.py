"""What looks like a secret in a text, and what stands there instead: a placeholder that names the rule, as "(redacted:
GitHub token)".

The rules are those of secrets.yaml and the detectors of detect-secrets, which takes a tenth of a second to import.
"""

import base64
import binascii
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from html import escape
from math import log2
from os.path import exists
from typing import Any
from urllib.parse import quote, quote_plus

from runbook.model import table

_DATA = table(__file__, "secrets.yaml")
SECRET_NAME = re.compile("|".join(_DATA["names"]), re.IGNORECASE)
SHORT = 6  # bytes; a shorter line of a value reveals nothing, and occurs in many words
DEPTH = 2  # an encoded text inside an encoded text
LONG = 400  # letters; a longer form is not found in lines that were broken
WINDOW = 1_000  # letters of a long line that the detectors see at once
LARGEST = 2**20  # bytes of a compressed text that are looked at

_VALUE = re.compile("|".join(_DATA["values"].values()))
_RULES = {name: re.compile(f"(?:{rule}){_DATA['rest']}") for name, rule in _DATA["values"].items()}
_NAMED = re.compile(_DATA["named"].format(names="|".join(_DATA["names"])), re.IGNORECASE)
_NO_SECRET = re.compile(_DATA["known_words"])
_WORD, _ENCODED = re.compile(_DATA["word"]), "[A-Za-z0-9+/_-]{16,}+={0,2}"
_WRAPPED = r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}+(?:(?:\s|\\n)++[A-Za-z0-9+/_-]++)++={0,2}"
_NUL = re.compile(r"\x00|\\+x00|\\+u0000|\\+xff\\+xfe|\\+xfe\\+xff")  # as UTF-16 has beside every letter
_BETWEEN = r"""(?:\s|\\n|\\(?=["'/\\]))*"""  # two letters of a value that was broken into lines, or escaped again
_PLAIN = re.compile("[a-z_]{1,16}")
_PICTURE = re.compile(r"(data:image/[a-z+]+;base64,[\w+/=]+)")


def looks_secret(value: str) -> bool:
    """Whether a value contains a known prefix of a secret, or a long random string.

    A random string has 32 or more characters, with upper case, lower case and digits, and more than 4.2 bits of entropy
    a character. Hexadecimal digests, plan ids, paths, resource names and ids of jobs are not random in this sense.
    """
    return bool(_VALUE.search(value)) or any(map(_random, _WORD.findall(value)))


def _random(word: str) -> bool:
    if not all(re.search(kind, word) for kind in ("[A-Z]", "[a-z]", "[0-9]")) or _NO_SECRET.search(word):
        return False
    shares = [n / len(word) for n in Counter(word).values()]
    return -sum(share * log2(share) for share in shares) > 4.2


def secrets_in(environment: Mapping[str, str]) -> list[bytes]:
    """The values of variables with the name of a secret, and contacts' addresses; no file names, no plain words."""
    named = (value for name, value in environment.items() if SECRET_NAME.search(name) or "_NOTIFY_" in name)
    return [v.encode(errors="replace") for v in named if len(v) > 7 and not (_PLAIN.fullmatch(v) or exists(v))]


class Scan:
    """Finds secrets: the given values in every usual encoding, and whatever looks like one."""

    def __init__(self, values: Iterable[bytes] = ()):
        parts = {(part, v) for v in values for part in (v, v.strip(), *map(bytes.strip, v.splitlines()))}
        forms = {form for part, v in parts if len(part) >= SHORT or part == v for form in _forms(part)}
        ordered = sorted(forms - {""}, key=len, reverse=True)
        self._long = [form for form in ordered if len(form) > LONG]  # no expression for these: it would take long
        short = (_expression(form) for form in ordered if len(form) <= LONG)
        self._known = re.compile("|".join(short) or "(?!)")
        self.text = cache(self._text)  # of a notebook that is saved again and again

    def known(self, text: str, instead: Callable[[Any], str] = lambda _: _placeholder("secret of this run")) -> str:
        """The text without the given values."""
        for form in self._long:
            text = text.replace(form, instead(form))
        return self._known.sub(instead, text)

    def data(self, data: Any, key: str = "") -> Any:
        """A copy of JSON data whose texts are without secrets. In pictures, only the given values are looked for."""
        if isinstance(data, dict):
            return data.__class__({self.text(name): self.data(value, name) for name, value in data.items()})
        if isinstance(data, list):
            return [self.data(value, key) for value in data]
        if not isinstance(data, str):
            return data
        return self.known(data) if key.startswith("image/") else self.text(data)

    def file(self, content: bytes) -> bytes:
        """The content of a file without secrets. JSON, and lines of JSON, stay so; what is no text stays as it is."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return content
        lines = text.splitlines(keepends=True)
        for parts, indent in ((lines, None), ([text], 1)):
            with suppress(ValueError):
                return "".join(self._json(part, indent) for part in parts).encode()
        return self.text(text).encode()

    def _json(self, text: str, indent: int | None) -> str:
        data = json.loads(text)
        clean = self.data(data)
        return text if clean == data else json.dumps(clean, indent=indent, ensure_ascii=False) + "\n"

    def _text(self, text: str, depth: int = DEPTH) -> str:
        """The text without secrets."""
        flat = _NUL.sub("", text)
        if flat != text and (clean := self._text(flat, depth)) != flat:
            return clean
        parts = _PICTURE.split(self.known(text))
        return "".join(part if n % 2 else self._rules(part, depth) for n, part in enumerate(parts))

    def _rules(self, text: str, depth: int) -> str:
        for pattern in (_WRAPPED, _ENCODED) if depth else ():
            text = re.sub(pattern, lambda found: self._encoded(found[0], depth - 1), text)
        for name, rule in _RULES.items():
            text = rule.sub(_placeholder(name), text)
        wide = max(map(len, text.splitlines()), default=0) > WINDOW  # some expressions take long for long lines
        pieces = [text[n : n + WINDOW] for n in range(0, len(text), WINDOW * 3 // 4)] if wide else [text]
        for kind, find in _detectors():
            for secret in sorted({x for piece in pieces for x in find(piece) if x}, key=len, reverse=True):
                text = text.replace(secret, _placeholder(kind))
        text = _NAMED.sub(lambda found: found[0].replace(found["value"], _placeholder("named as a secret")), text)
        return _WORD.sub(lambda found: _placeholder("random text") if _random(found[0]) else found[0], text)

    def _encoded(self, word: str, depth: int) -> str:
        """A word in hexadecimal or base64, or a placeholder if its content has a secret."""
        for content in _decoded(re.sub(r"\s|\\n", "", word)):
            inner = content.replace(b"\0", b"").decode(errors="ignore")
            clean = self._text(inner, depth) if "".join(inner.split()).isprintable() else ""
            rule = re.search(r"\(redacted: ([^)]+)\)", clean)
            if self.known(inner) != inner or rule:
                return _placeholder(f"{rule[1] if rule else 'secret of this run'}, encoded")
        return word


def _expression(form: str) -> str:
    """An expression for a form of a value, also broken into lines, escaped again, or cut after two thirds."""
    parts, most = [*map(re.escape, form)], max(16, len(form) * 2 // 3)
    head, tail = (_BETWEEN.join(some) for some in (parts[:most], parts[most:]))
    return f"{head}{_BETWEEN}(?:{tail}|[\\w+/=%-]*)" if tail else head


def _placeholder(rule: str) -> str:
    return f"(redacted: {rule})"


@cache
def _detectors() -> list[tuple[str, Callable[[str], Iterable[str]]]]:
    """The name of each detector, and the function that finds its secrets in a text."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    kinds = get_mapping_from_secret_type_to_class().items()
    used = ((n, k) for n, k in kinds if issubclass(k, RegexBasedDetector) and n not in _DATA["left_out"])
    return [(name, kind().analyze_string) for name, kind in used]


def _decoded(word: str) -> Iterator[bytes]:
    """What a word may be the encoding of."""
    whole = word.translate(str.maketrans("-_", "+/")).rstrip("=")
    for decode, given in ((bytes.fromhex, word), (base64.b64decode, whole + "=" * (-len(whole) % 4))):
        try:
            content = decode(given)
        except (ValueError, binascii.Error):
            continue
        yield content
        if content[:2] in (b"\x1f\x8b", b"\x78\x9c"):
            try:
                yield zlib.decompressobj(47).decompress(content, LARGEST)
            except zlib.error:
                continue


def _forms(value: bytes) -> list[str]:
    """The encodings of a value in requests, answers, tracebacks and pages."""
    plain = value.decode(errors="replace")
    quoted = [json.dumps(plain, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]
    padded = [encode(value).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)]
    encoded = [*padded, *(form.rstrip("=") for form in padded), value.hex(), value.hex().upper()]
    pages = [quote(plain), quote(plain, safe=""), quote_plus(plain), escape(plain), escape(plain, quote=False)]
    return [plain, plain[::-1], repr(value)[2:-1], *quoted, *pages, *encoded]
