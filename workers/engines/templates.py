"""Chat templates out of model files: foreign programs, run in a sandbox that bounds what they can do and for how long.

The conventions are those of Hugging Face's `apply_chat_template`, which templates are written for.
"""

import datetime as dt
import json
import re
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

import jinja2
import jinja2.sandbox

from tasks import errors

_LIMIT_S = 2.0
_LIMIT_BYTES = 512 << 20
_LIMIT_CHARACTERS = 8 << 20
_LARGEST = 1 << 20
_LONGEST_REASON = 300
# They make a text as long as they are told.
_PADDING = ("ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map")

_ESCAPED_GUARD = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

NONE = "the model has no chat template: name one in the catalogue (`template`), or ask for `generate`"


class Render(Protocol):
    """The text of a conversation, up to where the model `answers`. Not every template does something with `tools`."""

    def __call__(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, answers: bool = True
    ) -> str: ...


class TooLong(Exception):
    """A template ran for too long."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Without what computes for minutes or fills the memory in one operation, where no limit of time reaches it."""

    intercepted_binops = frozenset(["**", "*", "%"])

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and not isinstance(left, int)) or _product(left, right) > _LARGEST:
            raise jinja2.TemplateError(f"it computes a {operator} that is not for templates")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:  # noqa: ARG002 whatever it is
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _PADDING and super().is_safe_attribute(obj, attr, value)


def _product(left: Any, right: Any) -> float:
    """How large it is, as a number or as a length."""
    sizes = [abs(side) if isinstance(side, (int, float)) else len(side) for side in (left, right)]
    return float(min(sizes[0], 1 << 64) * min(sizes[1], 1 << 64))


def compiled(source: str | None, bos: str, eos: str) -> tuple[Render | None, str | None]:
    """The template as a function of a conversation; None, and why, when there is none or it is broken."""
    if source is None:
        return None, NONE
    try:
        return compile(source, bos, eos), None
    except errors.EngineRefused as error:
        return None, str(error)


def compile(source: str, bos: str, eos: str) -> Render:
    """The template as a function of a conversation, which raises `EngineRefused` saying why it can't render one.

    Raises that too, now, for a source that is no template. Both only in a process's main thread.
    """
    try:
        with _Limit():
            template = environment().from_string(source)
    except (jinja2.TemplateError, TooLong, RecursionError, MemoryError) as error:
        raise errors.EngineRefused(f"the model's chat template: {_reason(error)}") from error

    def rendered(
        messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, answers: bool = True
    ) -> str:
        values = {"messages": list(messages), "add_generation_prompt": answers, "bos_token": bos, "eos_token": eos}
        values["tools"] = list(tools) or None
        try:
            with _Limit():
                return _within(template.generate(values))
        except Exception as error:  # a foreign program may raise anything
            raise errors.EngineRefused(f"the model's chat template: {_reason(error)}") from error

    def without_system(
        messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, answers: bool = True
    ) -> str:
        return rendered(_without_system(messages), tools, answers=answers)

    return rendered if _takes_system(rendered) else without_system


def _reason(error: Exception) -> str:
    """What went wrong, in one line and without the library's positions in its source."""
    lines = str(getattr(error, "message", None) or error).strip().splitlines()
    return lines[0][:_LONGEST_REASON] if lines else type(error).__name__


def _takes_system(render: Render) -> bool:
    """Many templates drop a system message, or raise an error."""
    mark = "a system message"
    try:
        return mark in render([{"role": "system", "content": mark}, {"role": "user", "content": "hello"}])
    except errors.EngineRefused:
        return False


def _without_system(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """System messages said by the next user message, as llama.cpp does it."""
    said: list[Mapping[str, Any]] = []
    system: list[str] = []
    for message in messages:
        if message["role"] == "system":
            system.append(message["content"])
        elif system:
            own = [message["content"]] if message["role"] == "user" and message["content"] else []
            said.append({"role": "user", "content": "\n".join([*system, *own])})
            said += [] if message["role"] == "user" else [message]
            system = []
        else:
            said.append(message)
    return [*said, *([{"role": "user", "content": "\n".join(system)}] if system else [])]


def _within(pieces: Any) -> str:
    """The text. Raises `TooLong`."""
    parts, length = [], 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length > _LIMIT_CHARACTERS:
            raise TooLong(f"it writes more than {_LIMIT_CHARACTERS} characters")
    return "".join(parts)


def environment() -> jinja2.Environment:
    """The sandbox, with what templates expect."""
    extensions = ["jinja2.ext.loopcontrols"]
    sandbox = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=extensions, autoescape=False)
    sandbox.filters["tojson"] = to_json
    for name in ("center", "format", "indent", "filesizeformat", "wordwrap"):
        del sandbox.filters[name]
    sandbox.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return sandbox


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it. The guards of special tokens' names (`marks`) stay what they are."""
    most = min(indent, 8) if indent else None
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=most, separators=separators, sort_keys=sort_keys)
    return _ESCAPED_GUARD.sub("\\1\0", text)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(layout: str) -> str:
    return dt.datetime.now(dt.UTC).strftime(str(layout)[:100])


class _Limit:
    """Ends Python code of the main thread when it takes too long, or more memory than a conversation may.

    A text can be doubled again and again by `~`, which no sandbox sees.
    """

    def __enter__(self) -> None:
        self._former = signal.signal(signal.SIGALRM, self._end)
        self._space = resource.getrlimit(resource.RLIMIT_AS)
        if sys.platform == "linux":
            soft, hard = self._space
            most = _address_space() + _LIMIT_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
        signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, self._space)
        signal.signal(signal.SIGALRM, self._former)

    @staticmethod
    def _end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG004 signal's signature
        raise TooLong(f"it takes more than {_LIMIT_S:g} s")


def _address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
