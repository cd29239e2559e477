"""Whether documents are read right, and how long that takes: `python -m benchmarks.extraction [--folder DIR]`.

Reads every file of `tests/cases/documents`, and small ones of each kind that are made here, each by a child process
as a worker has one. With `--folder`, reads all PDFs below it too, and says what share of the words that poppler's
`pdftotext` finds is found.
"""

import argparse
import re
import subprocess
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tasks import errors
from tasks.documents import kinds
from tests.workers import office, papers
from workers.extraction import parent

CASES = Path(__file__).parent.parent / "tests" / "cases" / "documents"

# What must be in the text of each case; the tests have the whole of it. The others are to stay as they are.
RIGHT = {
    "cjk-h.pdf": "東京の倉庫は朝九時に開きます",
    "cjk-identity.pdf": "ぃぅぇぉか",
    "cjk-ksc.pdf": "창고는 아침 아홉 시에 문을 연다",
    "cjk-uhc.pdf": "창고는 아침 아홉 시에 문을 연다",
    "form.pdf": "Maria Example",
    "hyphens.pdf": "an overpressure valve and an exchangeable strainer",
    "japanese-iso2022jp.txt": "会議は金曜日の午後三時に第二会議室で行います",
    "ligatures.txt": "Auflage erscheint im Mai. The efficient filter removes fluoride",
    "no-printing-aes128.pdf": "This contract may be read but not printed.",
    "spanish-cp1252.txt": "El año pasado la compañía de mi cuñado amplió su pequeña fábrica",
    "table-cells.pdf": "MEYER, ANNA DISTRICT DIRECTOR 37,499.96",
    "thai.txt": "ห้องสมุดเปิดเวลาเก้าโมงเช้า",
    "turkish-cp1254.txt": "İstanbul'da yaşayan kız kardeşim ışıklı bir dükkân açtı",
}
SAID = "The boat costs 42 coins"


def made() -> Iterator[tuple[str, bytes]]:
    """A small file of each kind that says what the boat costs."""
    yield "made.pdf", papers.pages(papers.shown(SAID))
    yield "made.html", f"<nav><a>Home</a></nav><main><h1>Boats</h1><p>{SAID}.</main>".encode()
    yield "made.docx", office.docx(office.paragraph(SAID))
    yield "made.pptx", office.pptx(office.shape(SAID))
    yield "made.xlsx", office.xlsx(Prices=[["name", "price"], ["boat", SAID]])
    yield "made.csv", f"name;price\nboat;{SAID}\n".encode("cp1252")
    yield "made.tsv", f"name\tprice\nboat\t{SAID}\n".encode("utf-16")
    yield "made.json", f'{{"boat": "{SAID}"}}'.encode()
    yield "made.jsonl", f'{{"boat": "{SAID}"}}\n'.encode()
    yield "made.rst", f"Boats\n=====\n\n{SAID}.\n".encode()
    yield "made.epub", office.epub(f"<p>{SAID}.")
    yield "made.eml", f"Subject: Boats\r\n\r\n{SAID}.\r\n".encode()


def table() -> None:
    print("| file | right text | seconds |\n|---|---|---|")
    cases = [(path.name, path.read_bytes(), RIGHT.get(path.name)) for path in sorted(CASES.iterdir())]
    for name, raw, right in [*cases, *((name, raw, SAID) for name, raw in made())]:
        began_at = time.perf_counter()
        text = read(name, raw) or ""
        is_right = right in text if right is not None else text.split() == raw.decode().split()
        print(f"| {name} | {'yes' if is_right else 'NO'} | {time.perf_counter() - began_at:.2f} |")


def read(name: str, raw: bytes) -> str | None:
    kind = kinds.kind_of(name)
    assert kind is not None
    try:
        return parent.extract(raw, kind).text
    except errors.JobError as error:
        print(f"{name}: {error}")
        return None


def words(text: str) -> Counter[str]:
    """How often each word is in a text, parted ones whole, and ligatures as letters."""
    text = re.sub(r"(?<=\w)[-\xad]\s*\n\s*(?=\w)", "", unicodedata.normalize("NFKC", text))
    return Counter(re.findall(r"\w+", text.lower()))


def compare(folder: Path) -> None:
    kept = of = 0
    seconds, shares = 0.0, []
    paths = sorted(path for path in folder.rglob("*.pdf") if path.is_file())
    for path in paths:
        theirs = subprocess.run(["pdftotext", path, "-"], capture_output=True, check=False).stdout
        wanted = words(theirs.decode("utf-8", "replace"))
        began_at = time.perf_counter()
        text = read(path.name, path.read_bytes())
        seconds += time.perf_counter() - began_at
        if not wanted:
            continue
        found = (wanted & words(text or "")).total()
        kept, of = kept + found, of + wanted.total()
        shares.append((found / wanted.total(), path.name))
    print(f"{len(paths)} PDFs, {of} words by pdftotext, {kept / of:.2%} of them kept, {seconds:.1f} s")
    print("least:", ", ".join(f"{name} {share:.1%}" for share, name in sorted(shares)[:8]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="of PDFs, to be compared with pdftotext")
    folder = parser.parse_args().folder
    table()
    if folder is not None:
        compare(folder)
