"""The text of a PDF, page by page, by PDFium. Runs in the process of `workers.extraction.child` only."""

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pypdfium2
from pypdfium2 import raw as pdfium

from tasks import errors
from workers.extraction import pdflines
from workers.extraction.pdflines import Line
from workers.extraction.writing import Writer

LIBRARIES = ("pypdfium2",)

_MOST_BOOKMARKS = 5_000
_MOST_ANNOTATIONS = 2_000  # of a page
_SAMPLE = 200  # characters of a page, of which so many may have no meaning
_MEANINGLESS = 0.3
_STRANGE, _LETTERS = 0.05, 0.5  # of a text whose fonts don't say: at most no characters, and at least letters
_NO_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
# Characters that may be what is left of one beyond 16 bits, which PDFium's texts have no room for.
_SHORTENED = re.compile("[\ud400-\udfff\uf000-\uffff]")
_FILE_NAME = re.compile(
    r"\.(?:docx?|pptx?|xlsx?|indd|tex|dvi|qxd|pdf|rtf|odt)$|^(?:untitled|microsoft word)", re.IGNORECASE
)


def prepare() -> None:
    """Has PDFium make what it makes of itself at the first document."""
    pypdfium2.PdfDocument.new().close()


def read(raw: bytes, told: dict[str, Any], writer: Writer) -> None:
    """The text of the pages that can be read, with what was filled into forms and noted on pages."""
    document = _opened(raw)
    pages = len(document)
    if pages > told["pages"]:
        raise errors.DocumentTooLarge(f"it has {pages} pages, more than {told['pages']}")
    document.init_forms()
    texts: list[list[Line]] = []
    gaps = _Gaps()
    length = 0
    for number in range(pages):
        texts.append(_page(document, number, gaps))
        length += sum(len(line.text) + 1 for line in texts[-1])
        if length > told["characters"]:
            raise errors.DocumentTooLarge(f"it has more than {told['characters']} characters of text")
    if not any(texts):
        raise errors.UnreadableDocument(gaps.reason())
    gaps.tell(writer)
    title = document.get_metadata_value("Title")
    writer.named(None if _FILE_NAME.search(title) else title)
    pdflines.write(texts, _bookmarks(document), writer)


def _opened(raw: bytes) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(raw)
        if len(document) == 0:
            raise errors.UnreadableDocument("it can't be read as pdf: it has no pages")
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise errors.UnreadableDocument("it is encrypted") from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise errors.UnreadableDocument("it is encrypted in a way that isn't known here") from error
        raise errors.UnreadableDocument("it can't be read as pdf: it is damaged, or no PDF") from error
    return document


class _Gaps:
    """The pages that give no text, by their numbers, and why."""

    def __init__(self) -> None:
        self.damaged: list[int] = []
        self.meaningless: list[int] = []
        self.empty: list[int] = []

    def reason(self) -> str:
        if self.meaningless:
            return "its fonts don't say which characters they show"
        if self.damaged:
            return "it can't be read as pdf: its pages are damaged"
        return "its pages hold no text; scanned ones are images"

    def tell(self, writer: Writer) -> None:
        for pages, what in (
            (self.damaged, "left out, for it is damaged"),
            (self.meaningless, "left out, for its fonts don't say which characters they show"),
            (self.empty, "without text; a scanned one is an image"),
        ):
            if pages:
                shown = ", ".join(str(number + 1) for number in pages[:10])
                more = f" and {len(pages) - 10} more" if len(pages) > 10 else ""
                writer.warn(f"page {shown}{more}: {what}")


def _page(document: pypdfium2.PdfDocument, number: int, gaps: _Gaps) -> list[Line]:
    """The lines of a page; none where it has none that can be read."""
    page = None
    try:
        page = document[number]
        values = list(_filled_in(page, document))
        if values:
            # What is filled in or noted becomes part of the page, at its place.
            pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
            page.close()
            page = document[number]
        lines = _lines(page, gaps, number)
    except pypdfium2.PdfiumError:
        gaps.damaged.append(number)
        return []
    finally:
        if page is not None:
            page.close()
    seen = " ".join(" ".join(line.text for line in lines).split())
    last = lines[-1] if lines else Line("", 0.0, 0.0)
    return [*lines, *(Line(value, last.size, 0.0) for value in values if value not in seen)]


def _lines(page: pypdfium2.PdfPage, gaps: _Gaps, number: int) -> list[Line]:
    text_page = page.get_textpage()
    try:
        text = _text(text_page)
        if not text.strip():
            gaps.empty.append(number)
            return []
        if _is_meaningless(text_page, text):
            gaps.meaningless.append(number)
            return []
        return pdflines.rows(line for line in _placed(text_page, text) if line.text.strip())
    finally:
        text_page.close()


def _text(text_page: pypdfium2.PdfTextPage) -> str:
    """What a page says, as long as PDFium has it: a place in it is a place there."""
    room = 2 * text_page.count_chars() + 2
    buffer = (ctypes.c_ushort * room)()
    length = pdfium.FPDFText_GetText(text_page, 0, room - 1, buffer)
    text = bytes(buffer)[: 2 * max(0, length - 1)].decode("utf-16-le", "surrogatepass")
    return _SHORTENED.sub(lambda found: _whole(text_page, found), text)


def _whole(text_page: pypdfium2.PdfTextPage, found: re.Match[str]) -> str:
    place = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, found.start())
    code = pdfium.FPDFText_GetUnicode(text_page, place) if place >= 0 else 0
    return chr(code) if 0xFFFF < code < 0x110000 and code & 0xFFFF == ord(found[0]) else found[0]


def _is_meaningless(text_page: pypdfium2.PdfTextPage, text: str) -> bool:
    """Whether the fonts of the page don't say what their shapes mean, so that the text is anything but that.

    Some of those that don't say number their shapes as ASCII does: then the text is one of words all the same.
    """
    count = text_page.count_chars()
    places = range(0, count, max(1, count // _SAMPLE))
    unknown = sum(pdfium.FPDFText_HasUnicodeMapError(text_page, place) == 1 for place in places)
    said = "".join(text.split())
    strange = len(_NO_CHARACTER.findall(said))
    if unknown <= _MEANINGLESS * len(places):
        return strange > _MEANINGLESS * len(said)
    # What it takes for controls, spaces among them, PDFium leaves out of the text.
    codes = [pdfium.FPDFText_GetUnicode(text_page, place) for place in places]
    strange += sum(code < 32 and chr(code) not in "\t\r\n" for code in codes) * len(said) // len(places)
    return strange > _STRANGE * len(said) or sum(map(str.isalpha, said)) < _LETTERS * len(said)


def _placed(text_page: pypdfium2.PdfTextPage, text: str) -> Iterator[Line]:
    """The lines of a page, each with the size of its letters and the place at which it begins."""
    begin = 0
    x, y, matrix = ctypes.c_double(), ctypes.c_double(), pdfium.FS_MATRIX()
    for line in text.split("\r\n"):
        skipped = len(line) - len(line.lstrip())
        place = pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, begin + skipped)
        size = pdfium.FPDFText_GetFontSize(text_page, place)
        if pdfium.FPDFText_GetMatrix(text_page, place, matrix):
            size *= abs(matrix.d) or abs(matrix.b)
        pdfium.FPDFText_GetCharOrigin(text_page, place, x, y)
        yield Line(line.replace("\x00", " "), round(size, 1), y.value, x.value)
        begin += len(line) + 2


def _filled_in(page: pypdfium2.PdfPage, document: pypdfium2.PdfDocument) -> Iterator[str]:
    """What is filled into the fields of a page, and what is written on it as free text."""
    for place in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MOST_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, place)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        value = ""
        if kind == pdfium.FPDF_ANNOT_FREETEXT:
            value = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
        elif kind == pdfium.FPDF_ANNOT_WIDGET and document.formenv is not None:
            form = document.formenv
            if pdfium.FPDFAnnot_GetFormFieldType(form, annotation) in _WRITTEN_FIELDS:
                value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if value := " ".join(value.split()):
            yield value


_WRITTEN_FIELDS = frozenset(
    (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
)


def _string(ask: Any, *arguments: Any) -> str:
    """A string of PDFium's, which is asked for twice: how long it is, and what."""
    length = ask(*arguments, None, 0)
    buffer = ctypes.create_string_buffer(max(2, length))
    ask(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), length)
    return buffer.raw[: max(0, length - 2)].decode("utf-16-le", "replace")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """An entry of the contents that a document carries: its page, from 0, and how deep it is, from 0."""

    title: str
    page: int
    depth: int


def _bookmarks(document: pypdfium2.PdfDocument) -> Sequence[Bookmark]:
    found: list[Bookmark] = []
    try:
        for entry in islice(document.get_toc(), _MOST_BOOKMARKS):
            place = entry.get_dest()
            page = place.get_index() if place is not None else None
            if page is not None:
                found.append(Bookmark(entry.get_title(), page, entry.level))
    except pypdfium2.PdfiumError:  # damaged contents say nothing of the pages
        return found
    return found
