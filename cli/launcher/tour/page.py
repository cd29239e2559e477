"""What the tour prints: at most 80 columns, in colours where there is a terminal."""

import re
import textwrap
import threading

import click
from rich.console import Console

from cli.client import passages
from cli.client.client import Job
from cli.client.passages import Passage
from cli.launcher.tour import figures

WIDTH = 80
INDENT = "  "
EXCERPT = 230  # characters of a passage


class Page:
    """The printed page. Nothing that is given to it is read as markup."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(WIDTH, console.width)
        self._words: Words | None = None

    def heading(self, title: str) -> None:
        self._line()
        self._line(f"── {title} ".ljust(self._width, "─"), "bold cyan")

    def note(self, sentences: str) -> None:
        """A few sentences of explanation."""
        self._paragraph(sentences, "dim")

    def warn(self, sentences: str) -> None:
        """A few sentences on what went wrong, or was made to."""
        self._paragraph(sentences, "bold red")

    def told(self, sentences: str) -> None:
        """A few sentences that matter."""
        self._paragraph(sentences, "green")

    def asked(self, words: str) -> None:
        """What the reader would have typed."""
        self._line()
        self._paragraph(f"> {words}", "bold")

    def words(self) -> "Words":
        """For an answer that comes piece by piece."""
        self._words = Words(self._console, self._width)
        return self._words

    def aside(self, sentence: str) -> None:
        """What somebody else says meanwhile, on stderr and a line of its own. From any thread."""
        if self._words:
            self._words.pause()
        click.echo(INDENT + sentence, err=True)

    def line(self, text: str) -> None:
        """A line as it is, to be copied or read as a row of a table."""
        self._line((INDENT + text).rstrip())

    def job(self, job: Job, how: str | None = None) -> None:
        """One line on a job that has ended. `how` takes the place of its speed."""
        if job["error"]:
            self.warn(f"{job['id']} {job['status']}: {job['error']['message']}")
        else:
            waited, speed = f"waited {figures.waited_s(job):.1f} s", f"{figures.rate(job):.0f} tokens/s"
            self._line(f"{INDENT}{job['id']}  {job['model']}  {waited}  {how or speed}", "dim")

    def passage(self, number: int, passage: Passage, *, text: bool = True) -> None:
        """Where the passage stands and, if wanted, how it begins."""
        self._line(INDENT + passages.head(number, passage), "dim")
        if text:
            excerpt = textwrap.shorten(passage["text"], EXCERPT, placeholder=" …")
            self._line(textwrap.fill(excerpt, self._width, initial_indent=INDENT * 3, subsequent_indent=INDENT * 3))

    def _paragraph(self, sentences: str, style: str) -> None:
        lines = textwrap.fill(sentences, self._width, initial_indent=INDENT, subsequent_indent=INDENT)
        self._line(lines, style)

    def _line(self, text: str = "", style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)


class Words:
    """A text as it comes, broken between words. A word is printed when it is whole: at the next space, or at `end`."""

    def __init__(self, console: Console, width: int) -> None:
        self._console = console
        self._width = width
        self._column = 0
        self._word = ""
        self._printing = threading.RLock()

    def write(self, text: str) -> None:
        with self._printing:
            for piece in re.split(r"(\s)", text):
                if not piece.isspace():
                    self._word += piece
                    continue
                self._print_word()
                if piece == "\n":
                    self._break()

    def pause(self) -> None:
        """What is printed next begins a line; a word that may not be whole yet is kept for later. From any thread."""
        with self._printing:
            if self._column:
                self._break()

    def end(self) -> None:
        """The text is over; what is printed next begins a line."""
        with self._printing:
            self._print_word()
            self.pause()

    def _print_word(self) -> None:
        if self._word and self._column + 1 + len(self._word) > self._width:
            self._break()
        if self._word:
            self._put((" " if self._column else INDENT) + self._word)
            self._word = ""

    def _put(self, text: str) -> None:
        self._console.print(text, end="", markup=False, soft_wrap=True)
        self._column += len(text)

    def _break(self) -> None:
        self._console.print()
        self._column = 0
