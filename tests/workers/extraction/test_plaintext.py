"""Texts in the charsets that people have: read as they were written, declared or not."""

from pathlib import Path

import pytest

from tasks import errors
from tasks.documents import charsets, tidying
from workers.extraction import parent, plaintext

CASES = Path(__file__).parents[2] / "cases" / "documents"

SAID = {
    "spanish": "El año pasado la compañía de mi cuñado amplió su pequeña fábrica; ¿cuánto costó?",
    "french": "L'été dernier, nous avons mangé des crêpes à la fête du château, près de la forêt.",
    "german": "Die Straße führt über die Brücke zum größten Gebäude; später aßen die Gäste süße Äpfel.",
    "portuguese": "A criança não comeu o pão porque já tinha almoçado com a avó na estação.",
    "polish": "Wszyscy ludzie rodzą się wolni; dziś rano poszedłem do sklepu, żeby kupić świeże bułki.",
    "czech": "Všichni lidé rodí se svobodní; včera jsem koupil čerstvý chléb, sýr a šest vajec.",
    "turkish": "İstanbul'da yaşayan kız kardeşim ışıklı bir dükkân açtı; şimdi ağabeyim de çalışıyor.",
    "russian": "Вчера вечером мы гуляли по набережной и разговаривали о книгах; зима была холодной.",
    "greek": "Χθες το βράδυ περπατήσαμε στην παραλία και μιλήσαμε για βιβλία και μουσική.",
    "hebrew": "אתמול בערב טיילנו על שפת הים ודיברנו על ספרים ועל מוזיקה.",
    "thai": "เมื่อวานตอนเย็นเราเดินเล่นริมทะเลและคุยกันเรื่องหนังสือ",
    "japanese": "昨日の夜、私たちは海岸を散歩しながら本について話しました。京都までの切符はいくらですか。",
    "chinese": "昨天晚上我们在海边散步,谈论书籍。去北京的火车票多少钱?今年冬天很冷。",
    "taiwanese": "昨天晚上我們在海邊散步,談論書籍。去臺北的火車票多少錢?今年冬天很冷。",
    "korean": "어제 저녁 우리는 바닷가를 걸으며 책에 대해 이야기했다. 올해 겨울은 매우 추웠다.",
}

GUESSED = [
    ("spanish", "cp1252"), ("spanish", "iso8859-15"), ("french", "cp1252"), ("german", "iso8859-1"),
    ("portuguese", "cp1252"), ("polish", "cp1250"), ("polish", "iso8859-2"), ("czech", "cp1250"),
    ("czech", "iso8859-2"), ("turkish", "cp1254"), ("turkish", "iso8859-9"), ("russian", "cp1251"),
    ("russian", "koi8-r"), ("russian", "iso8859-5"), ("greek", "cp1253"), ("greek", "iso8859-7"), ("hebrew", "cp1255"),
    ("thai", "cp874"), ("japanese", "shift_jis"), ("japanese", "euc_jp"), ("japanese", "iso2022_jp"),
    ("chinese", "gb18030"), ("chinese", "hz"), ("taiwanese", "big5"), ("korean", "cp949"), ("korean", "iso2022_kr"),
    ("german", "utf-16-le"), ("german", "utf-16-be"), ("german", "utf-32-le"), ("russian", "utf-16-le"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "charset"), GUESSED)
def test_charset_that_nothing_says_is_told_from_the_text(language: str, charset: str) -> None:
    found = plaintext.decode(SAID[language].encode(charset))
    assert (found.text, found.unsure) == (SAID[language], False)


@pytest.mark.parametrize(
    "text", ["Müller", "naïve", "señor Núñez", "Ação", "§ 5 Abs. 2", "prix: 5 €", "El café está aquí"]
)
def test_few_words_are_read_as_western(text: str) -> None:
    """They look like a dozen charsets; this one is the likeliest, and whoever brought them is told."""
    found = plaintext.decode(text.encode("cp1252"))
    assert (found.text, found.charset) == (text, "cp1252")


def test_unsure_guess_is_a_warning() -> None:
    found = parent.extract("El café está aquí".encode("cp1252"), "text")
    assert found.charset == "cp1252"
    assert [warning for warning in found.warnings if "guessed" in warning and "cp1252" in warning]


@pytest.mark.parametrize(
    ("name", "charset", "text"),
    [
        ("spanish-cp1252", "cp1252", "El año pasado la compañía de mi cuñado amplió su pequeña fábrica de muñecas"),
        ("turkish-cp1254", "cp1254", "İstanbul'da yaşayan kız kardeşim ışıklı bir dükkân açtı."),
        ("japanese-iso2022jp", "iso2022_jp", "会議は金曜日の午後三時に第二会議室で行います。"),
        ("ligatures", "utf-8", "Die zweite Auflage erscheint im Mai. The efficient filter removes fluoride."),
        ("thai", "utf-8", "ห้องสมุดเปิดเวลาเก้าโมงเช้า"),
        ("rare-code", "utf-8", ""),
    ],
)
def test_case_is_read_right(name: str, charset: str, text: str) -> None:
    found = parent.extract((CASES / f"{name}.txt").read_bytes(), "text")
    assert (found.charset, found.warnings) == (charset, ())
    assert found.text.startswith(text)


@pytest.mark.parametrize("name", ["long-table", "two-models"])
def test_markdown_case_stays_as_it_is(name: str) -> None:
    raw = (CASES / f"{name}.md").read_bytes()
    found = parent.extract(raw, "markdown")
    assert found.text == "\n".join(line.rstrip() for line in raw.decode().splitlines()).strip()
    assert found.marks.headings


def test_declared_charset_decides() -> None:
    """Whatever the bytes look like, but for those that say themselves what they are."""
    raw = "Ärger über Öl".encode("cp1252")
    assert parent.extract(raw, "text", charset="cp1251").text == raw.decode("cp1251")
    assert parent.at_once(raw, "text", "cp1252") == parent.extract(raw, "text", charset="cp1252")
    assert parent.extract("Öl".encode("utf-8-sig"), "text", charset="cp1252").text == "Öl"


def test_character_that_its_charset_does_not_have_is_a_warning() -> None:
    found = parent.at_once(b"a \xff b", "text", "utf-8")
    assert found is not None
    assert (found.text, len(found.warnings)) == ("a \ufffd b", 1)


def test_characters_are_composed_and_ligatures_are_letters() -> None:
    """Only these: other characters that resemble some letters mean something of their own."""
    assert tidying.tidied("e\u0301 ﬁ ﬄ ﬆ ½ ² Ⅳ \xadx") == "é fi ffl st ½ ² Ⅳ x"


def test_marks_without_end_on_one_letter_are_put_in_order_in_parts() -> None:
    """All at once they would take the square of their number."""
    assert len(tidying.tidied("a" + "\u0301\u0316" * 500_000)) == 1_000_001 - 1


@pytest.mark.parametrize("raw", [bytes(range(256)) * 9, bytes(5_000), b"\x89PNG\r\n\x1a\n" + bytes(range(200)) * 50])
def test_binary_data_is_no_text(raw: bytes) -> None:
    with pytest.raises(errors.UnreadableDocument, match="binary"):
        plaintext.decode(raw)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("UTF8", "utf-8"), ("latin1", "cp1252"), ("Windows-1254", "cp1254"), ("x-sjis", "cp932"),
        ("gb2312", "gb18030"), ("KOI8-R", "koi8-r"), ("windows-874", "cp874"), ("US-ASCII", "cp1252"),
        ("rot13", None), ("base64", None), ("idna", None), ("utf-7", None), ("", None), ("../x", None),
        ("unicode_escape", None), ("undefined", None), ("zip", None), ("a\0b", None), ("a" * 99, None),
    ],
)  # fmt: skip
def test_charset_is_known_by_its_names(name: str, ours: str | None) -> None:
    """By ours for it; what only Python calls a charset is none."""
    assert charsets.known(name) == ours
