"""Hostile forms: each is refused with a 4xx that says where, and none is half understood."""

import io

import pytest

from tasks.errors import InvalidField, Malformed
from tests.webapi.conftest import Api
from webapi import multipart
from webapi.multipart import Form

TEXTS = ("collection", "title")


def part(name: str | None, contents: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    disposition = "form-data" + (f'; name="{name}"' if name is not None else "")
    disposition += f'; filename="{filename}"' if filename is not None else ""
    return f"--x\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode() + contents + b"\r\n"


def read(raw: bytes, boundary: str = "x") -> Form:
    return multipart.read(io.BytesIO(raw), boundary, texts=TEXTS, files="file", max_files=3)


GOOD = part("collection", b"books") + part("file", b"one", filename="a.txt")
END = b"--x--\r\n"

MALFORMED = [
    pytest.param(b"", None, id="nothing"),
    pytest.param(b"x" * 1_000, None, id="no boundary in it"),
    pytest.param(GOOD, None, id="no end"),
    pytest.param(GOOD[:-10], None, id="cut off in a file"),
    pytest.param(GOOD.replace(b"--x", b"--y") + b"--y--", None, id="another boundary"),
    pytest.param(b"--x\r\n\r\none\r\n" + END, None, id="a part without headers"),
    pytest.param(b"--x\r\nContent-Type: text/plain\r\n\r\none\r\n" + END, None, id="a part without disposition"),
    pytest.param(part(None, b"one") + END, None, id="a part without a name"),
    pytest.param(part(None, b"one", filename="a.txt") + END, None, id="a file without a field"),
    pytest.param(
        b"--x\r\nContent-Disposition: form-data; name=\xff\r\n\r\none\r\n" + END, None, id="a header not UTF-8"
    ),
    pytest.param(part("title", b"a") + part("title", b"b") + END, "title", id="a field twice"),
    pytest.param(part("title", b"\xff") + END, "title", id="a text not UTF-8"),
    pytest.param(part("title", b"a\0b") + END, "title", id="NUL"),
    pytest.param(part("title", b"\xed\xa0\x80") + END, "title", id="an encoded surrogate"),
    pytest.param(
        part("file", b"x", filename="").replace(b'filename=""', b"filename*=utf-8''a%00.txt") + END,
        "file",
        id="NUL in a name",
    ),
]

REFUSED = [
    pytest.param(part("titel", b"a") + END, "titel", id="an unknown field"),
    pytest.param(part("", b"a") + END, "", id="a field with an empty name"),
    pytest.param(part("a\tb", b"a") + END, "a\N{REPLACEMENT CHARACTER}b", id="a field with a tab in its name"),
    pytest.param(part("title", b"a", filename="a.txt") + END, "title", id="a file for a text"),
    pytest.param(part("file", b"a") + END, "file", id="a file without a name"),
    pytest.param(part("file", b"a", filename="") + END, "file", id="a file with an empty name"),
    pytest.param(part("file", b"a", filename="a\x07.txt") + END, "file", id="a name with a bell in it"),
    pytest.param(part("file", b"a", filename="f") * 4 + END, "file", id="too many files"),
    pytest.param(part("title", b"a" * 65_537) + END, "title", id="a text too long"),
    pytest.param(part("title", b"a" * 5_000_000), "title", id="a text without end"),
]


def test_form_is_read_whole() -> None:
    """Texts by name, files in their order, byte by byte, whatever the parts' other headers say."""
    contents = b"\r\n--y\r\n--x \0\xff\r\n--"
    form = read(
        b"preamble\r\n"
        + part("title", "Ä ".encode(), more="Content-Type: text/plain; charset=latin-1\r\n")
        + part("file", contents, filename="a.txt")
        + part("file", b"", filename="b.pdf", more="Content-Type: image/png\r\nX: y\r\n")
        + END
        + b"epilogue"
    )
    assert form == Form({"title": "Ä "}, [multipart.Upload("a.txt", contents), multipart.Upload("b.pdf", b"")])


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_003])
def test_large_file_is_whole(size: int) -> None:
    """Wherever the borders of what is read at a time fall."""
    contents = (b"\r\n--x\r" + b"a\r\n-" * 300)[: max(1, size % 1000)] * (size // max(1, size % 1000))
    contents = contents.replace(b"\r\n--x\r", b"\r\n--z\r")
    assert read(part("file", contents, filename="a.txt") + END).files == [multipart.Upload("a.txt", contents)]


@pytest.mark.parametrize(("raw", "field"), MALFORMED)
def test_malformed_form_says_where(raw: bytes, field: str | None) -> None:
    """What isn't strictly one form is refused."""
    with pytest.raises(Malformed) as caught:
        read(raw)
    assert caught.value.field == field


@pytest.mark.parametrize(("raw", "field"), REFUSED)
def test_form_that_is_not_ours_names_the_field(raw: bytes, field: str) -> None:
    """Before the rest of it is read."""
    with pytest.raises(InvalidField) as caught:
        read(raw)
    assert caught.value.field == field


@pytest.mark.parametrize("boundary", ["", "x" * 201, "ä"])
def test_boundary_that_cannot_be_is_refused(boundary: str) -> None:
    """RFC 2046: 1 to 70 characters of ASCII; we are a little more generous."""
    with pytest.raises(Malformed):
        read(GOOD + END, boundary)


@pytest.mark.parametrize("headers", [1_000, 20_000, 300_000])
def test_parts_headers_are_bounded(headers: int) -> None:
    """A part that is nothing but headers isn't collected for ever."""
    raw = b"--x\r\n" + b"A: b\r\n" * headers
    with pytest.raises(Malformed):
        read(raw)


@pytest.mark.parametrize(
    "type_", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=y"]
)
def test_wrong_boundary_is_a_400(api: Api, type_: str) -> None:
    """A type without the boundary, or with another than the body's."""
    response = api.post("/v1/documents", data=GOOD + END, content_type=type_)
    assert (response.status_code, response.json["error"]["code"]) == (400, "malformed_body")


def test_thousands_of_parts_are_a_422(api: Api) -> None:
    """Every part is a known field, once, or one of few files: the first beyond that ends the reading."""
    for raw in (part("title", b"x") * 100_000, part("file", b"x", filename="a.txt") * 100_000):
        response = api.post("/v1/documents", data=raw + END, content_type="multipart/form-data; boundary=x")
        assert response.status_code in (400, 422)
        assert response.json["error"]["param"] in ("title", "file")
