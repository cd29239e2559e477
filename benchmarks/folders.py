"""A folder as people have it: files of several kinds, one very long, three damaged. Equal for a seed."""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.stacks import ROOT
from tests.workers import papers

DAMAGED = ("cut-off.pdf", "locked.pdf", "scanned.pdf")
LONG = "long.pdf"
LONG_PAGES = 300
PAGES = 10  # of this project

_SUBJECTS = ("boat", "lamp", "garden", "bridge", "owl", "letter", "engine", "harbour", "nurse", "window", "ticket")
_PLACES = ("kitchen", "tower", "cellar", "market", "station", "library", "workshop", "field", "office", "yard")
_NAMES = ("Anna", "Oscar", "Clara", "Ben", "Mira", "Jonas", "Petra", "Ali", "Rosa", "Tom")


def make(folder: Path, count: int, seed: int = 1) -> list[Path]:
    """Writes `count` files: some of this project's pages first, the long one and the damaged ones last."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    plain = count - len(DAMAGED) - 1
    made = [_file(folder, number, draw) for number in range(plain)]
    for number, page in enumerate(sorted((ROOT / "docs").glob("*.md"))[: min(PAGES, plain // 2)]):
        made[number].unlink()
        made[number] = folder / f"{number:03}-{page.name}"
        made[number].write_bytes(page.read_bytes())
    long = papers.pages(*(papers.shown(*_lines(draw, 8)) for _ in range(LONG_PAGES)))
    files = {LONG: long, **dict(zip(DAMAGED, _damaged(), strict=True))}
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return [*made, *(folder / name for name in files)]


def change(file: Path) -> None:
    """Adds a sentence at the file's end."""
    file.write_text(
        file.read_text(encoding="utf-8") + "\nThe silver owl was seen in the harbour again.\n", encoding="utf-8"
    )


def _damaged() -> tuple[bytes, bytes, bytes]:
    return papers.pages(papers.shown("The code is 19."))[:200], papers.encrypted("secret"), papers.image_only()


def _file(folder: Path, number: int, draw: random.Random) -> Path:
    kind = ("md", "txt", "html", "txt", "pdf")[number % 5]
    paragraphs = [" ".join(_sentences(draw, draw.randint(3, 8))) for _ in range(draw.randint(2, 12))]
    title = f"The {draw.choice(_SUBJECTS)} of {draw.choice(_NAMES)}"
    file = folder / f"{number:03}-{draw.choice(_PLACES)}.{kind}"
    if kind == "pdf":
        file.write_bytes(papers.pages(*(papers.shown(*_lines(draw, 12)) for _ in range(draw.randint(1, 3)))))
    elif kind == "html":
        body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
        file.write_text(f"<html><title>{title}</title><body><h1>{title}</h1>{body}</body></html>", encoding="utf-8")
    else:
        head = f"# {title}\n\n" if kind == "md" else f"{title}\n\n"
        file.write_text(head + "\n\n".join(paragraphs) + "\n", encoding="utf-8")
    return file


def _sentences(draw: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        who, what, where, number = (
            draw.choice(_NAMES),
            draw.choice(_SUBJECTS),
            draw.choice(_PLACES),
            draw.randint(2, 900),
        )
        yield draw.choice(
            (
                f"{who} left the {what} in the {where} and paid {number} coins for it.",
                f"The code of the {what} in the {where} is {number}.",
                f"Since the {where} was painted, {who} has been looking for the {what}.",
                f"Nobody had told {who} that the {what} weighs {number} pounds.",
                f"In the {where} stands a {what}, which {who} repaired {number} days ago.",
            )
        )


def _lines(draw: random.Random, count: int) -> list[str]:
    return list(_sentences(draw, count))
