"""Signatures of a text: exception, HTTP status, codes, message and signal. Pure, and total: it never raises.

A text is a line of a log or the error of a run, of any length and form. Words in quotes, in data, in URLs and in names
are not part of the message and are never a code, because they can be the words of customers. What stands in the body
of an error (JSON, or Python's form of it) under the keys below is a code or a message of the service.
"""

import errno
import re
import signal as signals
from collections import namedtuple
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from runbook.data_file import table

LONG = 20_000  # characters of a text that are read
_DEPTH = 8  # levels of nested objects that are read
_MOST = 5  # exceptions that are read in the message of another one
_TRACE = "Traceback (most recent call last)"
_RESOLVER = {"-2": "EAI_NONAME", "-3": "EAI_AGAIN", "-5": "EAI_NODATA"}
_DATA = table(__file__, "forms.yaml")
FORMS = {name: re.compile(form) for name, form in _DATA.items() if isinstance(form, str)}
_WRAPPED, _HTTP, _NOT_SAID = ([re.compile(form) for form in _DATA[name]] for name in ("wrapped", "http", "not_said"))
_EXCEPTION, _KEYS = FORMS["exception"], _DATA["keys"]


_FIELDS = "exception module http codes message signal chained line"


class Signature(namedtuple("Signature", _FIELDS, defaults=("", "", 0, (), "", 0, False, ""))):
    """What can be recognized in a text. `codes` have the most specific first; `http` and `signal` are 0 if not told.

    `chained`: of an exception that was only the cause of the last one. `line` is the part of the text to quote.
    """

    @property
    def bare(self) -> bool:
        """Whether nothing but the name of an exception is said, such as "TimeoutError: None"."""
        words = re.findall("[A-Za-z]{3,}", self.message.replace(self.exception, ""))
        return len(words) < 2 and not (self.http or self.signal)


@lru_cache(4096)
def signatures(text: str) -> tuple[Signature, ...]:
    """The signatures of a text: of its last exception (or the whole text), of those in it, and of those before it."""
    head, _, trace = text[:LONG].partition(_TRACE)
    *earlier, last = FORMS["chained"].split(trace)
    if trace:  # an exception without a message stands first, before what the framework says
        head = FORMS["bare"].sub(r"\g<0>:", head)
    found = [*_read(head)] if head.strip() else []
    if trace and not (found and found[0].exception):
        found = [*_read(_last(last)), *found]
    found += (one._replace(chained=True) for part in earlier for one in _read(_last(part)))
    return tuple(found)


def _last(trace: str) -> str:
    """The exception of a traceback: what follows its last frame, without the line of code."""
    frames = [match.end() for match in FORMS["frame"].finditer(trace)]
    tail = trace[frames[-1] :] if frames else trace
    found = sorted(_EXCEPTION.finditer(tail), key=lambda m: tail[m.end() : m.end() + 1] == "(")
    return tail[found[0].start() :] if found else tail


def _read(text: str) -> Iterator[Signature]:
    """The signature of one exception or line, and of the exceptions that its message names as the cause."""
    text = FORMS["own_status"].sub("", text)
    found = next((m for m in _EXCEPTION.finditer(text) if _outside(text, m.start())), None)
    body = text[found.end() :].lstrip(": ") if found else text
    module, name = ((found[1] or "").rstrip("."), found[2] or found[3]) if found else ("", "")
    codes, said, plain = _bodies(body)
    message = " ".join((_unwrapped(plain), *said))
    for part in _NOT_SAID:
        message = part.sub("…", message)
    message = " ".join(message.split())
    line = " ".join(text[found.start() if found else 0 :].split())
    before = FORMS["before"].findall(text[: found.start()] if found else "")  # a code before an exception
    words = [w for w in [*FORMS["word"].findall(f"{message} {name}"), *before] if _like_a_code(w)]
    numbers = [_RESOLVER.get(n) or errno.errorcode.get(int(n), "") for n in FORMS["errno"].findall(message)]
    status = next((int(c) for c in codes if re.fullmatch(r"[45]\d\d", c)), 0)
    known = tuple(dict.fromkeys(c for c in (*codes, *numbers, *words) if c and not c.isdigit()))
    yield Signature(name, module, _http(message) or status, known, message, _signal(message), line=line)
    for inner in islice(_EXCEPTION.finditer(message), _MOST) if name or said or "aised" in body else ():
        inside = message[inner.end() :]
        yield Signature(inner[2] or inner[3], (inner[1] or "").rstrip("."), _http(inside), known, inside, line=line)


def _outside(text: str, position: int) -> bool:
    """Whether a position is outside double quotes, as far as one line shows."""
    return text.count('"', text.rfind("\n", 0, position) + 1, position) % 2 == 0


def _bodies(text: str) -> tuple[list[str], list[str], str]:
    """The codes and the messages of the error bodies in a text, and the text without any object."""
    found: list[tuple[int, str]] = []
    said: list[str] = []
    for _ in range(_DEPTH):
        blocks = FORMS["block"].findall(text)
        for block in blocks:
            pairs = ((key.lower(), value or number) for key, value, number in FORMS["pair"].findall(block))
            found += (codes := [(_KEYS.index(key), value) for key, value in pairs if key in _KEYS])
            values = [a or b for a, b in FORMS["said"].findall(block.replace('\\"', '"'))]
            said += values if codes or "Message" in block or any(map(_EXCEPTION.match, values)) else ()
        if not blocks:
            break
        text = FORMS["block"].sub(" … ", text)
    return [value for _, value in sorted(found, key=lambda one: one[0])], said, text


def _unwrapped(text: str) -> str:
    """A message without the quotes that libraries put around what the service or another exception says."""
    for wrapped in _WRAPPED:
        text = wrapped.sub(lambda m: f" {next(filter(None, m.groups()), '')} ", text)
    return FORMS["caused"].sub(lambda m: re.sub(r"(?<=[(,\[])\s*['\"]|['\"](?=[),\]])", " ", m[0]), text)


def _like_a_code(word: str) -> bool:
    """Whether a word is not one of everyday language: in capitals, with an underscore, or with capitals inside."""
    return word.isupper() or "_" in word or bool(re.match(r"[a-z]+[A-Z]|[A-Z][a-z]+[A-Z]", word))


def _http(message: str) -> int:
    found = next(filter(None, (form.search(message) for form in _HTTP)), None)
    return int(found[found.lastindex or 0]) if found else 0


def _signal(message: str) -> int:
    found = FORMS["signal"].search(message)
    told = found[found.lastindex or 0].upper() if found else ""
    return int(told if told.isdigit() else signals.Signals.__members__.get(told, 0))
