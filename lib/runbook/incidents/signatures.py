"""Signatures of a text: exception, HTTP status, codes, message and signal. Pure, and total: it never raises.

A text is a line of a log or the error of a run, of any length and form. Words in quotes, in data, in URLs and in names
are not part of the message and are never a code, because they can be the words of customers. What stands in the body
of an error (JSON, or Python's form of it) under the keys below is a code or a message of the service.
"""

from __future__ import annotations

import errno
import re
import signal as signals
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

LONG = 20_000  # characters of a text that are read
_DEPTH = 8  # levels of nested objects that are read
_CHAINED = re.compile(
    r"During handling of the above exception, another exception occurred:"
    r"|The above exception was the direct cause of the following exception:"
)
_TRACE = "Traceback (most recent call last)"
_FRAME = re.compile(r'File "[^"\n]{1,300}", line \d+(?:, in \S+)?')
_NAMED = r"(?:Error|Exception|Failed|Failure|Timeout|Expired|Warning|Exhausted|Unavailable|Denied|Exceeded)"
_EXCEPTION = re.compile(
    rf"(?<![\w.'\"/])(?:((?:[A-Za-z_]\w*\.)+)([A-Z]\w*)|([A-Z]\w*{_NAMED}|Salesforce[A-Z]\w+|SystemExit|[A-Z]\w+(?=: [45]\d\d )))(?=:(?:\s|$)|\s*$|\()"
)
_BLOCK = re.compile(r"\{[^{}]*\}|\{[^{}]*$")
_QUOTED = r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'"
_PAIR = re.compile(r"\\?[\"'](\w+)\\?[\"']\s*:\s*(?:\\?[\"']([\w.\-]+)\\?[\"']|(\d{3})\b)")
_SAID = re.compile(
    rf"[\"'](?:message|error_description|errorMessage|exceptionMessage|detail|error)[\"']\s*:\s*(?:{_QUOTED})"
)
# The keys of codes in the bodies of errors, the most specific first.
_KEYS = ("subCategory", "reason", "errorCode", "exceptionCode", "error_code", "code", "errorType", "category", "error")
_KEYS += ("policyName", "status", "statusCode", "type")
_WRAPPED = (  # what libraries put in quotes although it is the message
    re.compile(
        r"(?:\breturned|\b[dD]etails?[:=]|\b[dD]etails? =|\bmessage[=:]|\b[rR]eason[=:]) ?\"((?:[^\"\\]|\\.)*)\""
    ),
    re.compile(r"(?:\bmessage=|\b(?:Client|Server) error |\berror message: )'((?:[^'\\]|\\.)*)'"),
    re.compile(r"['\"]([45]\d\d)['\"]"),
    re.compile(r"^\(\s*'((?:[^'\\]|\\.)*)'\s*[,)]"),
    re.compile(r"^\(\s*\"((?:[^\"\\]|\\.)*)\"\s*[,)]"),
)
_CAUSED = re.compile(
    r"\(Caused by .*|\bRetryError\[.*|\braised .*|\bConnectionError\(.*|\('Connection aborted.*", re.DOTALL
)
_HTTP_REASON = "|".join(
    ["Client Error", "Server Error", "Bad Request", "Unauthorized", "Forbidden", "Not Found", "Too Many Requests"]
    + ["Internal Server Error", "Bad Gateway", "Service Unavailable", "Service Temporarily Unavailable"]
    + ["Gateway Time-?out", "Conflict", "Gone", "Payload Too Large", "Request Timeout", "Payment Required", "Locked"]
)
_HTTP = (
    re.compile(rf"\b([45]\d\d):? (?:{_HTTP_REASON})\b", re.IGNORECASE),
    re.compile(
        r"\bHTTP ?Error:?\s*\(?([45]\d\d)\b|\bHTTP(?:/\d(?:\.\d)?)? ?(?:status |code )*([45]\d\d)\b", re.IGNORECASE
    ),
    re.compile(
        r"\bstatus(?:[ _]?code)?(?: of| was| is)?\W{0,3}([45]\d\d)\b|\berror(?:[ _]?code)?\W{1,3}([45]\d\d)\b",
        re.IGNORECASE,
    ),
    re.compile(r"^[\[(]?([45]\d\d)[\])]?(?=[,:;]|\s+[A-Z<(]|\s+[a-z]+[A-Z]|\s*$)"),
    re.compile(r"\bcode\W{1,3}([45]\d\d)\b|\((?:HTTP )?([45]\d\d)\)|\breason\W{1,3}([45]\d\d)\b", re.IGNORECASE),
    re.compile(
        r"\b(?:answered|returned|responded(?: with)?|replied(?: with)?|received|got)(?: an?)? ([45]\d\d)\b(?! (?:rows|records|of)\b)",
        re.IGNORECASE,
    ),
)
_SIGNAL = re.compile(
    r"\bsignal:? (\d{1,2})\b|\bexit(?:ed)?(?: with)?(?: exit)? (?:code|status)\W{0,2}(\d{1,3})\b|\bexit\((\d{1,3})\)|\b(SIG[A-Z]{3,5})\b",
    re.IGNORECASE,
)
_ERRNO = re.compile(r"\[(?:Errno|WinError) (-?\d{1,4})\]")
_RESOLVER = {"-2": "EAI_NONAME", "-3": "EAI_AGAIN", "-5": "EAI_NODATA"}
_WORD = re.compile(r"(?<![\w@/])[A-Za-z][A-Za-z0-9_]{3,60}(?![\w@])")
_NOT_SAID = (
    re.compile(r"(?<!\w)'(?:[^'\n]|'(?=\w)){0,2000}'(?!\w)"),
    re.compile(
        r"\"(?:[^\"\\\n]|\\.){0,4000}\"|`[^`\n]{0,500}`|“[^”\n]{0,2000}”|«[^»\n]{0,2000}»|‘[^’\n]{0,500}’|„[^“”\n]{0,500}[“”]"
    ),
    re.compile(r"\b[a-z][a-z0-9+.]*://[^\s<>\"'\])]+"),
    re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
    re.compile(r"(?:/{0,2}\b[\w.-]+)?(?:/[\w.@:~%{}-]+){2,}"),
)


class Signature(NamedTuple):
    """What can be recognized in a text. `codes` have the most specific first; `http` and `signal` are 0 if not told.

    `chained`: of an exception that was only the cause of the last one. `line` is the part of the text to quote.
    """

    exception: str = ""
    module: str = ""
    http: int = 0
    codes: tuple[str, ...] = ()
    message: str = ""
    signal: int = 0
    chained: bool = False
    line: str = ""


@lru_cache(4096)
def signatures(text: str) -> tuple[Signature, ...]:
    """The signatures of a text: the last exception's (or the whole text's), those in it, and those it was raised from."""
    said = text[:LONG]
    head, _, trace = said.partition(_TRACE)
    parts = _CHAINED.split(trace)
    found = [*_read(head)] if head.strip() else []
    if trace and not (found and found[0].exception):
        found = [*_read(_last(parts[-1])), *found]
        parts = parts[:-1]
    for part in parts[:-1] if len(parts) > 1 and found else parts[:1] if found and len(parts) > 1 else ():
        found += (one._replace(chained=True) for one in _read(_last(part)))
    return tuple(found)


def _last(trace: str) -> str:
    """The exception of a traceback: what follows its last frame, without the line of code."""
    frames = [match.end() for match in _FRAME.finditer(trace)]
    tail = trace[frames[-1] :] if frames else trace
    found = sorted(_EXCEPTION.finditer(tail), key=lambda m: tail[m.end() : m.end() + 1] == "(")
    return tail[found[0].start() :] if found else tail


def _read(text: str) -> Iterator[Signature]:
    """The signature of one exception or line, and of the exceptions that its message names as the cause."""
    found = next((m for m in _EXCEPTION.finditer(text) if _outside(text, m.start())), None)
    body = text[found.end() :].lstrip(": ") if found else text
    module, name = ((found[1] or "").rstrip("."), found[2] or found[3]) if found else ("", "")
    codes, said, plain = _bodies(body)
    message = _cleaned(" ".join((_unwrapped(plain), *said)))
    line = " ".join(text[found.start() if found else 0 :].split())
    words = [w for w in _WORD.findall(message) if _like_a_code(w)]
    numbers = [_RESOLVER.get(n) or errno.errorcode.get(int(n), "") for n in _ERRNO.findall(message)]
    status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), 0)
    known = tuple(dict.fromkeys(c for c in (*codes, *numbers, *words) if c and not c.isdigit()))
    yield Signature(name, module, _http(message, bool(name)) or status, known, message, _signal(message), line=line)
    for inner in (m for m in _EXCEPTION.finditer(message) if m[2] or m[3]) if name or "aised" in body else ():
        inside = message[inner.end() :]
        yield Signature(
            inner[2] or inner[3], (inner[1] or "").rstrip("."), _http(inside, True), known, inside, line=line
        )


def _outside(text: str, position: int) -> bool:
    """Whether a position is outside double quotes, as far as one line shows."""
    return text.count('"', text.rfind("\n", 0, position) + 1, position) % 2 == 0


def _bodies(text: str) -> tuple[list[str], list[str], str]:
    """The codes and the messages of the error bodies in a text, and the text without any object."""
    found: list[tuple[int, str]] = []
    said: list[str] = []
    for _ in range(_DEPTH):
        blocks = _BLOCK.findall(text)
        for block in blocks:
            pairs = [(key, value or number) for key, value, number in _PAIR.findall(block) if key in _KEYS]
            found += ((_KEYS.index(key), value) for key, value in pairs)
            said += (a or b for a, b in _SAID.findall(block.replace('\\"', '"')) if pairs or "Message" in block)
        if not blocks:
            break
        text = _BLOCK.sub(" … ", text)
    return [value for _, value in sorted(found, key=lambda one: one[0])], said, text


def _unwrapped(text: str) -> str:
    """A message without the quotes that libraries put around what the service or another exception says."""
    for wrapped in _WRAPPED:
        text = wrapped.sub(lambda m: f" {next(filter(None, m.groups()), '')} ", text)
    return _CAUSED.sub(lambda m: re.sub(r"(?<=[(,\[])\s*['\"]|['\"](?=[),\]])", " ", m[0]), text)


def _cleaned(text: str) -> str:
    for part in _NOT_SAID:
        text = part.sub("…", text)
    return " ".join(text.split())


def _like_a_code(word: str) -> bool:
    """Whether a word is not one of everyday language: in capitals, with an underscore, or with capitals inside."""
    return word.isupper() or "_" in word or bool(re.match(r"[a-z]+[A-Z]|[A-Z][a-z]+[A-Z]", word))


def _http(message: str, exception: bool) -> int:
    for form in _HTTP:
        if found := form.search(message):
            return int(next(filter(None, found.groups())))
    return 0


def _signal(message: str) -> int:
    found = _SIGNAL.search(message)
    told = next(filter(None, found.groups()), "") if found else ""
    if told.isdigit():
        return int(told)
    return int(getattr(signals, told.upper(), 0)) if told.upper() in signals.Signals.__members__ else 0
