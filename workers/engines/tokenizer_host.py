"""The tokenizer of `llamacpp`: a process that reads foreign texts, so that none of them can end a generation.

Runs as `python -m workers.engines.tokenizer_host`. The first line of JSON on stdin says what to load; the answer says
what became of the chat template. Every further line is a question, answered by a line before the next is read. When
stdin closes, it ends.

It has a llama.cpp server of its own for the vocabulary, over weights that are mapped and never touched. llama.cpp's
pre-tokenizers (`std::regex`) go one call deeper with each character of a run, some 400 bytes of stack each: its
threads get a stack for four million. A text that kills this process all the same has killed nothing else.
"""

import contextlib
import ctypes
import dataclasses
import http.client
import json
import resource
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks import errors
from workers.engines import calls, llamacpp_fit, llamacpp_host, templates, vocabulary
from workers.engines.gguf import Header
from workers.engines.llamacpp_host import LoadError
from workers.engines.marks import Marks, Piece

_STACK_BYTES = 2 << 30
_THREADS = 24  # more than llama.cpp starts here
_SERVER = {"slots": 1, "context": 64, "batch": 64, "threads": 1, "mapped": True}
_PTHREAD_ATTR_BYTES = 64


def main() -> None:
    """Loads, says so, and answers until stdin closes."""
    told = json.loads(sys.stdin.readline())
    answers = llamacpp_host.take_stdout()
    try:
        server, texts = _load(told)
    except (errors.EngineUnusable, LoadError) as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        sys.exit(1)
    told = {"template_problem": texts.template_problem, "has_template": texts.has_template, "tokens": texts.size}
    told |= {"infills": texts.between is not None, "unknown": texts.unknown, "instructed": texts.instructed}
    told["call_format"] = dataclasses.asdict(texts.call_format)
    print(json.dumps(told), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(texts.answer(json.loads(line))), file=answers, flush=True)
    llamacpp_host.end(server)


def _load(told: dict[str, Any]) -> tuple[Any, "Texts"]:
    """The server, and what asks it. The header, which may have a quarter of a million names, isn't kept."""
    weights = llamacpp_fit.read(Path(told["file"]))
    space = weights.address_space(_SERVER["context"]) + _THREADS * _STACK_BYTES
    llamacpp_host.limit(None if told["binary"] else space)
    _deepen_stacks()
    server, address = llamacpp_host.serve({**told, **_SERVER})
    return server, Texts(weights.header, address, told["key"], told["template"])


def _deepen_stacks() -> None:
    """Gives every thread and child that is started from now on a deep stack. Without glibc it stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    deep = _STACK_BYTES if hard == resource.RLIM_INFINITY else min(_STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (deep if soft != resource.RLIM_INFINITY else soft, hard))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "pthread_setattr_default_np"):
        attributes = ctypes.create_string_buffer(_PTHREAD_ATTR_BYTES)
        libc.pthread_attr_init(attributes)
        libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
        libc.pthread_setattr_default_np(attributes)


class Texts:
    """A model's vocabulary and chat template. Used by the main thread, which templates need for their limit of time.

    `template_problem` says why there is no chat, None when there is.
    """

    def __init__(self, header: Header, address: str, key: str, template: str | None) -> None:
        self._address = urllib.parse.urlsplit(address)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        source = template or header.template
        self.size = len(header.items("tokenizer.ggml.tokens", bytes))
        self.has_template = source is not None
        self.instructed = header.template is not None
        self.between = vocabulary.between(header)
        self.unknown = vocabulary.unknown(header)
        try:
            self._marks = Marks.of(header, source)
        except RecursionError as error:
            raise LoadError("its special tokens' names go into each other too deeply") from error
        self._before, self._after = self._around()
        # A SentencePiece vocabulary that puts a space before each text.
        self._spaces = header.tokenizer == "llama" and header.flag("tokenizer.ggml.add_space_prefix", True)
        bos, eos = _names(header)
        self._render, self.template_problem = templates.compiled(source, bos, eos)
        self._written = calls.learn(self._render, eos, self._marks)
        self.call_format = self._written.format
        self._stripping = {number for name, number in self._marks.ids.items() if name in (source or "")}
        self._stripping = {number for number in self._stripping if self._strips(number)}
        self._does: Mapping[str, Callable[[Any], Any]] = {
            "prompt": self.prompt,
            "infill": lambda given: self.infill(*given),
            "chat": lambda given: self.chat(*given),
            "tokenize": self.tokenize,
            "reread": self.reread,
            "detokenize": self.detokenize,
            "pieces": self.pieces,
        }

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """`{"answer": …}`, or `{"refused": why}`."""
        try:
            return {"answer": self._does[question["do"]](question["given"])}
        except errors.EngineRefused as error:
            return {"refused": str(error)}

    def prompt(self, text: str) -> list[int]:
        return self._ids(text, add_special=True, parse_special=True)

    def infill(self, prompt: str, suffix: str) -> list[int]:
        return vocabulary.infilled(self.between, self._before, self._ids(prompt), self.reread(suffix))

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> tuple[str, list[int]]:
        """The rendered text, and its ids: the template's special tokens are special, those in contents are words."""
        if self._render is None:
            raise errors.EngineRefused(self.template_problem or "the model has no chat template")
        given = self._marks.guarded_messages(messages), self._marks.guarded_values(tools)
        text = calls.rendered(self._render, self._written, *given)
        pieces = self._marks.split(text)
        if pieces[:1] == self._before[:1]:  # it comes from us: not twice
            del pieces[:1]
        return self._marks.text(pieces), [*self._before, *self._ids(self._stripped(pieces))]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with what the model puts around one, in one exchange."""
        # An id that plain text never gives stands after each of them.
        marks = [*self._before, *self._after][:1]
        marked: list[Piece] = []
        for text in texts:
            marked += [text, *marks]
        ids = self._ids(marked)
        found = [piece for mark in marks for piece in _parted(ids, mark)]
        if len(found) != len(texts):  # the model has no such id
            found = [self._ids(text) for text in texts]
        return [[*self._before, *piece, *self._after] for piece in found]

    def reread(self, text: str) -> list[int]:
        """The ids of a text in the middle of an answer."""
        if not self._spaces:
            return self._ids(text)
        # A line break keeps the space that is put before a text away from it.
        start, whole = self._ids("\n"), self._ids("\n" + text)
        return whole[len(start) :] if whole[: len(start)] == start else self._ids(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        return str(self._call("/detokenize", {"tokens": list(ids)})["content"])

    def pieces(self, ids: Sequence[int]) -> list[list[int]]:
        """The bytes that each token adds to an answer: special ones add none."""
        told = self._call("/tokenize", {"content": list(ids), "with_pieces": True})["tokens"]
        silent = self._marks.names.keys() - {self._marks.ids[name] for name in self._marks.stubborn}
        pieces = ("" if one["id"] in silent else one["piece"] for one in told)
        return [list(piece.encode() if isinstance(piece, str) else piece) for piece in pieces]

    def _around(self) -> tuple[list[int], list[int]]:
        """What the model puts before a text and after it."""
        bare, whole = self._ids("a"), self._ids("a", add_special=True)
        starts = range(len(whole) - len(bare) + 1)
        start = next((start for start in starts if whole[start : start + len(bare)] == bare), 0)
        return whole[:start], whole[start + len(bare) :]

    def _strips(self, mark: int) -> bool:
        """Whether the token swallows the white space after it, as Phi-3's do."""
        text = "\n\nx"
        return self._ids(self._marks.names[mark] + text, parse_special=True) != self._ids([mark, text])

    def _stripped(self, pieces: Sequence[Piece]) -> list[Piece]:
        before = [None, *pieces]
        return [
            piece.lstrip() if isinstance(piece, str) and former in self._stripping else piece
            for former, piece in zip(before, pieces, strict=False)
        ]

    def _ids(self, content: str | Sequence[Piece], **options: bool) -> list[int]:
        body = {"content": content, "add_special": False, "parse_special": False, **options}
        return list(self._call("/tokenize", body)["tokens"])

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        # A connection for each: one that is kept is closed by the server after a few idle seconds.
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        if response.status != 200:
            raise errors.EngineRefused(str(answer.get("error", {}).get("message", answer)))
        return dict(answer)


def _names(header: Header) -> tuple[str, str]:
    """What templates know as `bos_token` and `eos_token`."""
    names = header.items("tokenizer.ggml.tokens", bytes)
    ids = [header.whole(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")]
    bos, eos = (names[id].decode("utf-8", "replace") if id is not None and id < len(names) else "" for id in ids)
    return bos, eos


def _parted(ids: Sequence[int], mark: int) -> list[list[int]]:
    """What stands before each mark."""
    pieces: list[list[int]] = [[]]
    for number in ids:
        if number == mark:
            pieces.append([])
        else:
            pieces[-1].append(number)
    return pieces[:-1]


if __name__ == "__main__":
    main()
