"""Texts out of documents: what good ones give, and that no hostile one gives anything but a text or a named error."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import structlog

from tasks import errors
from tasks.documents.marks import Heading, Marks
from tests.support.waiting import until
from tests.workers import papers
from workers import wall
from workers.engines import hosting
from workers.extraction import parent, plaintext
from workers.extraction.parent import Limits

# Memory is tight, time isn't: how long a document takes is the machine's affair, what it is refused for is ours.
TIGHT = Limits(memory_bytes=512 << 20)
# For documents that would never be done.
HASTY = Limits(cpu_s=1, wall_s=60.0, memory_bytes=512 << 20)

PAGE = """<!doctype html><title>The  boat</title><style>p {}</style><script>let x = "<p>no</p>"</script>
<h1>What it costs</h1><p>The <b>boat</b> costs
42&nbsp;coins<sup>1</sup>.<br>Nobody bought it.<div hidden>secret</div><p style="Display: none">secret</p>
<ul><li>Clara<li>Oscar</ul><table><tr><th>name<th>work<tr><td>Clara<td>nurse</table>
<pre>if x:
    y</pre><noscript>no scripts</noscript><!-- no --><svg><text>no</text></svg><template>no</template>the end"""

SEEN = """# What it costs

The boat costs 42 coins1.
Nobody bought it.

Clara
Oscar

| name | work |
| Clara | nurse |

if x:
    y

the end"""


def test_html_is_its_title_and_what_can_be_seen() -> None:
    """Blocks are paragraphs, items and rows are lines, and nothing of scripts, styles or what is hidden comes along."""
    found = parent.extract(PAGE.encode(), "html")
    assert (found.text, found.title, found.charset) == (SEEN, "The boat", "utf-8")
    assert found.marks.headings == (Heading(0, 1, "What it costs"),)
    assert [found.text[table.begins : table.ends] for table in found.marks.tables] == ["| Clara | nurse |"]


def test_pdf_is_the_text_of_its_pages() -> None:
    """In their order, with a blank line between pages."""
    file = papers.pages(papers.shown("The code is 19.", "Clara is a nurse."), papers.shown("Oscar likes honey."))
    assert parent.extract(file, "pdf").text == "The code is 19.\nClara is a nurse.\n\nOscar likes honey."


def test_pdf_that_only_forbids_things_is_read() -> None:
    """Without a password for reading, encryption hides nothing."""
    assert parent.extract(papers.encrypted(""), "pdf").text == "The code is 19."


def test_pdf_with_a_damaged_page_gives_the_others() -> None:
    """One page in a filter that doesn't exist doesn't take the document with it."""
    damaged = papers.stream(b"x", b"/Filter/Nope")
    assert parent.extract(papers.pages(papers.shown("whole"), damaged), "pdf").text == "whole"


GERMAN = "Für Gäste gibt es Brötchen, süßen Käse und Äpfel; später hören alle schöne Lieder über die Flöße."
RUSSIAN = "Всеки човек има право на образование. Образованието трябва да бъде безплатно."


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (GERMAN.encode(), GERMAN),
        (b"\xef\xbb\xbf" + GERMAN.encode(), GERMAN),
        (GERMAN.encode("utf-16"), GERMAN),
        (b"\xfe\xff" + GERMAN.encode("utf-16-be"), GERMAN),
        (GERMAN.encode("utf-32"), GERMAN),
        (GERMAN.encode("cp1252"), GERMAN),
        (RUSSIAN.encode("cp1251"), RUSSIAN),
        (GERMAN.encode()[:-1] + b"\xc3", GERMAN[:-1] + "\ufffd"),
        (b"\xff\xfea\0b\0c", "ab\ufffd"),
        ("a".encode("utf-16") + b"\x00\xd8" + "b".encode("utf-16-le"), "a\ufffdb"),
        (b"a\xed\xa0\x80" + GERMAN.encode(), "a\ufffd\ufffd\ufffd" + GERMAN),
        (b"a\r\nb\rc\x0bd  \n\n\n\n\te\x00f\x7f" + b" " * 200, "a\nb\nc\nd\n\n\tef"),
    ],
    ids=[
        "utf-8",
        "utf-8 mark",
        "utf-16",
        "utf-16-be",
        "utf-32",
        "cp1252",
        "cp1251",
        "cut off",
        "odd length",
        "lone surrogate in utf-16",
        "surrogate in utf-8",
        "controls",
    ],
)
def test_text_is_read_in_its_charset_and_tidied(raw: bytes, text: str) -> None:
    """By its mark, else as UTF-8, else as what it most resembles; what is invalid becomes U+FFFD."""
    assert plaintext.tidy(plaintext.decode(raw).text) == text


@pytest.mark.parametrize("raw", [GERMAN.encode(), GERMAN.encode("utf-16"), b"a\r\nb  \n\n\n\nc"])
def test_short_plain_text_is_read_at_once_as_the_child_reads_it(raw: bytes) -> None:
    assert parent.at_once(raw, "text") == parent.extract(raw, "text")


def test_short_plain_text_whose_charset_has_to_be_guessed_is_left_to_the_child() -> None:
    """Guessing takes long."""
    assert parent.at_once(RUSSIAN.encode("cp1251"), "text") is None


def test_short_file_that_is_no_text_is_named_at_once() -> None:
    with pytest.raises(errors.UnreadableDocument):
        parent.at_once(b" \n", "text")


def test_white_space_without_end_is_tidied_as_soon_as_any_text() -> None:
    """Each space is looked at once, however many follow; looked at from each of them, they would take an hour."""
    assert parent.extract(b"a" + b" " * 3_000_000 + b"b", "text", TIGHT).text == "a" + " " * 3_000_000 + "b"


def test_markdown_stays_as_it_is() -> None:
    """Marks of headings and lists are text, for people and for cutting."""
    assert parent.extract(b"# One\n\n* two\n", "markdown").text == "# One\n\n* two"


@pytest.mark.parametrize("declared", ["windows-1251", "utf-8", "rot13"])
def test_html_in_another_charset_than_it_says_is_read_all_the_same(declared: str) -> None:
    """A declared charset is believed where the bytes aren't UTF-8, unless it can't be theirs."""
    page = f'<meta charset="{declared}"><p>{RUSSIAN * 3}'
    assert parent.extract(page.encode(), "html").text == RUSSIAN * 3
    assert parent.extract(page.encode("cp1251"), "html").text == RUSSIAN * 3


UNREADABLE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "pdf of nothing": ("pdf", lambda: b"", "no PDF"),
    "pdf cut off": ("pdf", lambda: papers.pages(papers.shown("x"))[:300], "can't be read as pdf"),
    "text called pdf": ("pdf", lambda: b"hello " * 100, "can't be read as pdf"),
    "zeros called pdf": ("pdf", lambda: b"%PDF-1.7\n" + bytes(10_000_000), "can't be read as pdf"),
    "pdf encrypted": ("pdf", lambda: papers.encrypted("secret"), "encrypted"),
    "pdf tree of itself": ("pdf", papers.tree_of_itself, "damaged"),
    "pdf tree of parents": ("pdf", papers.tree_of_parents, "damaged"),
    "pdf doubling tree": ("pdf", lambda: papers.doubling_tree(60), "no text"),
    "pdf bomb of 256 megabytes": ("pdf", lambda: papers.bomb(1 << 28), "died of it|no text"),
    "pdf bomb packed thrice": ("pdf", lambda: papers.nested_bomb(1 << 27), "died of it|no text"),
    "pdf form of itself": ("pdf", papers.form_of_itself, "died of it|no text"),
    "pdf object streams of themselves": ("pdf", papers.object_streams_of_themselves, "damaged|no text"),
    "pdf of images": ("pdf", papers.image_only, "images"),
    "pdf table of itself": ("pdf", lambda: papers.table_that_points([9]), "can't be read as pdf"),
    "pdf table far away": ("pdf", lambda: papers.table_that_points([10**15, -5]), "can't be read as pdf"),
    "html of nothing": ("html", lambda: b"", "no text"),
    "html of script and style": ("html", lambda: b"<script>a</script><style>b</style><template>c", "no text"),
    "html of comments": ("html", lambda: b"<!--" * 1_000_000, "no text"),
    "html of attributes": ("html", lambda: b"<a " + b'x="y" ' * 1_000_000 + b">", "no text"),
    "html that is binary": ("html", lambda: bytes(range(256)) * 10_000, "binary"),
    "text of nothing": ("text", lambda: b" \n\t\xc2\xa0", "no text"),
    "text of marks": ("text", lambda: b"\xff\xfe\xff\xfe", "no text"),
    "text that is binary": ("text", lambda: bytes(range(256)) * 10_000, "binary"),
}

READABLE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "pdf of deep arrays": ("pdf", lambda: papers.deep_arrays(200_000), "deep"),
    "pdf without fonts": ("pdf", lambda: papers.pages(papers.shown("x"), resources=b""), "x"),
    "pdf with a false count": ("pdf", lambda: papers.pages(papers.shown("x")).replace(b"Count 1", b"Count 9"), "x"),
    "html nested deep": ("html", lambda: b"<b>" * 100_000 + b"hi", "hi"),
    "html never closed": ("html", lambda: b"<p>a<td>b<b>c<i>d</p>e<a href='", "abcd\n\ne"),
    "html of a large attribute": ("html", lambda: b'<a href="' + b"x" * 8_000_000 + b'">hi', "hi"),
    "html of entities": ("html", lambda: b"&lt;&amp;&bogus;&#0;&#xD800;&#x110000;" * 50_000, "<&&bogus;"),
    "html of declared entities": (
        "html",
        lambda: b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]>' + b"&c;" * 100_000,
        "]>&c;&c;",
    ),
    "html with zeros": ("html", lambda: b"<p>a\0b\0" + b"c" * 200, "ab"),
    "html of plain text": ("html", lambda: b"<plaintext></plaintext><script>a</script>", "</plaintext><script>"),
    "html of a large table": ("html", lambda: b"<table>" + b"<tr><td>a<td>b" * 100_000, "| a | b |\n| a | b |"),
    "html of misnested tags": ("html", lambda: b"<p><b><i><u>" * 10_000 + b"x", "x"),
    "text invalid": ("text", lambda: b"abc \xff\xfe\xc0\x80 def " * 1_000, "abc"),
}


def _names(many: int) -> bytes:
    return b" ".join(b"a%d" % number for number in range(many))


@pytest.mark.parametrize("name", UNREADABLE)
def test_hostile_document_without_text_is_named(name: str) -> None:
    """Whatever it does to what reads it: one kind of error, with a reason that a person understands."""
    kind, make, reason = UNREADABLE[name]
    with pytest.raises(errors.UnreadableDocument, match=reason):
        parent.extract(make(), kind, TIGHT)


def test_hostile_document_that_takes_for_ever_is_given_up() -> None:
    """Each further attribute is compared with all before it: these would take ten minutes."""
    with pytest.raises(errors.UnreadableDocument, match="1 s of computing"):
        parent.extract(b"<a " + _names(400_000) + b">x", "html", HASTY)


@pytest.mark.parametrize("name", READABLE)
def test_hostile_document_with_text_is_read(name: str) -> None:
    """And what comes out can be stored: no NUL, no lone surrogate."""
    kind, make, beginning = READABLE[name]
    text = parent.extract(make(), kind, TIGHT).text
    assert text.startswith(beginning)
    assert "\0" not in text
    text.encode()


@pytest.mark.parametrize(
    ("raw", "kind", "limits"),
    [
        (b"x" * 30_000_000, "text", Limits()),
        (b"<p>" + b"x" * 30_000_000, "html", Limits()),
        (b"<p>x" * 100, "html", Limits(characters=200)),
        (papers.pages(*[papers.shown("x" * 100)] * 3), "pdf", Limits(characters=200)),
        (papers.same_page_often(3), "pdf", Limits(pages=2)),
        (papers.same_page_often(1_000_000), "pdf", Limits()),
    ],
    ids=["text", "html", "html of blocks", "pdf", "pages", "a million pages"],
)
def test_document_with_too_much_text_is_refused(raw: bytes, kind: str, limits: Limits) -> None:
    """A text that no one could embed is refused by its length, before anything else is done with it."""
    with pytest.raises(errors.DocumentTooLarge, match="more than"):
        parent.extract(raw, kind, limits)


def test_single_long_line_is_a_text() -> None:
    """Thirty megabytes without a newline are unusual, not wrong."""
    text = parent.extract(b"x" * 30_000_000, "text", Limits(characters=30_000_000)).text
    assert text == "x" * 30_000_000


SLOW = b"<div>" * 400_000


def test_document_that_takes_too_long_is_ended() -> None:
    """The clock ends it, whether it computes or not."""
    with pytest.raises(errors.UnreadableDocument, match=r"within 0\.5 s"):
        parent.extract(SLOW, "html", Limits(wall_s=0.5))


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS knows no limit of address space")
@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"<table>" + b"<tr><td>a<td>b" * 200_000, "html"), (b"x" * 60_000_000, "text")],
    ids=["html", "text"],
)
def test_document_that_takes_too_much_memory_is_ended(raw: bytes, kind: str) -> None:
    """The limit of memory is that of its process, not of ours."""
    with pytest.raises(errors.UnreadableDocument, match="96 MiB of memory"):
        parent.extract(raw, kind, Limits(memory_bytes=96 << 20, characters=60_000_000))


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process can be read on Linux only")
def test_child_is_bounded_before_it_reads_the_document() -> None:
    """Memory, computing time, no file to write, no process to start; and others go before it."""
    with subprocess.Popen(
        [sys.executable, "-m", "workers.extraction.child"], stdin=subprocess.PIPE, env=hosting.environment()
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b'{"kind": "text", "charset": null, "memory_bytes": 300000000, "cpu_s": 7, "wall_s": 60}\n')
        child.stdin.flush()
        until(lambda: _limits(child.pid)["Max core file size"] == ("0", "0"))  # the last to be set
        limits = _limits(child.pid)
        assert limits["Max address space"] == ("300000000", "300000000")
        assert limits["Max cpu time"] == ("7", "8")
        assert limits["Max file size"] == limits["Max open files"] == limits["Max processes"] == ("0", "0")
        assert psutil.Process(child.pid).nice() == min(19, os.nice(0) + wall.NICENESS)
        child.kill()


def _limits(pid: int) -> dict[str, tuple[str, str]]:
    """Each limit of a process: the soft and the hard one."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): (line[26:].split()[0], line[26:].split()[1]) for line in lines}


def test_broken_child_is_not_the_documents_fault() -> None:
    """A mistake of ours isn't told to the client as one of theirs."""
    with pytest.raises(RuntimeError, match="status 1"):
        parent.extract(b"text", "no kind at all")


def test_what_the_system_cannot_wall_is_said_once() -> None:
    """However many documents are read."""
    about = {"charset": None, "title": None, "warnings": []}
    head = {**about, "marks": Marks().to_json(), "unwalled": ["the kernel has no Landlock"]}
    answer = json.dumps(head).encode() + b"\ntext"
    with structlog.testing.capture_logs() as told:
        assert {parent._parted(answer, 0, Limits())[1] for _ in range(3)} == {b"text"}
    assert [(line["event"], line["reasons"]) for line in told] == [("not_walled", ("the kernel has no Landlock",))]


def test_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads foreign files has nothing to tell."""
    monkeypatch.setenv("FOREBAY_DATABASE_URL", "postgresql://secret")
    assert "secret" not in str(hosting.environment())


def test_parent_stays_as_it_is_over_many_hostile_documents() -> None:
    """No memory, no file and no process is left behind."""
    files: list[tuple[bytes, str]] = [
        (bytes(5_000_000), "text"),
        (b"x" * 5_000_000, "text"),
        (b"<p>" + b"x" * 5_000_000, "html"),
        (papers.tree_of_itself(), "pdf"),
    ]
    us = psutil.Process()

    def feed(rounds: int) -> None:
        for raw, kind in files * rounds:
            with pytest.raises(errors.JobError):
                parent.extract(raw, kind, TIGHT)

    feed(1)
    before, open_before = us.memory_info().rss, us.num_fds()
    feed(4)
    assert us.memory_info().rss - before < 32 << 20
    assert us.num_fds() == open_before
    assert not [child for child in us.children() if "workers.extraction.child" in child.cmdline()]


def test_reading_ends_when_it_is_stopped() -> None:
    """A cancelled job doesn't wait for the end of a slow file."""
    with pytest.raises(errors.UnreadableDocument, match="SIGKILL"):
        parent.extract(SLOW, "html", stopped=lambda: True)
