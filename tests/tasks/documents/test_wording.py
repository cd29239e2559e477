import pytest
from sqlalchemy import Engine, cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import REGCONFIG

from tasks.documents import wording


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (None, "english"),
        ("de", "german"),
        ("german", "german"),
        ("nb", "norwegian"),
        ("zh", "simple"),
        ("thai", "simple"),
        ("et", "estonian"),
    ],
)
def test_language_has_the_configuration_of_its_stemmer(language: str | None, expected: str) -> None:
    assert wording.config(language) == expected


@pytest.mark.parametrize("language", ["", "xx", "German", "klingon", "simple"])
def test_what_is_no_language_is_none(language: str) -> None:
    assert language not in wording.LANGUAGES
    with pytest.raises(KeyError):
        wording.config(language)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", "German"),
        ("DE", "German"),
        ("spanish", "Spanish"),
        ("Norwegian Bokmål", "Norwegian Bokmål"),
        ("pt-BR", "Portuguese (pt-BR)"),
        ("zh-Hant-HK", "Chinese (zh-Hant-HK)"),
        ("es-419", "Spanish (es-419)"),
    ],
)
def test_language_is_called_what_a_model_has_read(language: str, expected: str) -> None:
    assert wording.called(language) == expected


@pytest.mark.parametrize(
    "language", ["", "xx", "xx-DE", "klingon", "de ", "pt_BR", "de-one", "de-DE\nand more", "de\n"]
)
def test_what_is_no_language_has_no_name(language: str) -> None:
    with pytest.raises(KeyError):
        wording.called(language)


def test_every_language_has_a_configuration_that_postgresql_knows(database: Engine) -> None:
    with database.connect() as connection:
        known = set(connection.scalars(text("SELECT cfgname FROM pg_ts_config")))
    assert {wording.config(language) for language in wording.LANGUAGES} == known


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("plain words, 3 of them", "plain words, 3 of them"),
        ("图书馆", "图书 书馆"),
        ("猫", "猫"),
        ("第3章", "第 3 章"),
        ("用iPhone手机。好", "用 iPhone 手机 。 好"),
        ("東京タワー", "東京 京タ タワ ワー"),
        ("学校 学校\n学校", "学校 学校\n学校"),
        ("학교에서 나", "학교 교에 에서 나"),
        ("ที่นี่", "ที่นี่"),
        ("ภาษาไทย", "ภา าษ ษา าไ ไท ทย"),
        ("བོད་ཡིག", "བོད ་ ཡིག"),
        ("ナイト・クラブ", "ナイ イト ・ クラ ラブ"),
        ("Straße Ελλάδα Привет", "Straße Ελλάδα Привет"),
    ],
)
def test_what_is_written_without_spaces_becomes_pairs(given: str, expected: str) -> None:
    assert wording.spaced(given) == expected


@pytest.mark.parametrize(
    ("document", "question"),
    [
        ("市立图书馆周一闭馆，周二开放。", "图书馆"),
        ("ห้องสมุดเปิดวันอังคาร", "ห้องสมุด"),
        ("図書館は火曜日に開きます。", "図書館"),
        ("도서관에서 책을 읽는다", "도서관"),
        ("“圖書館”（ABC中心）", "ABC中心"),
        ("ສະໝຸດເປີດວັນອັງຄານ", "ສະໝຸດ"),
        ("បណ្ណាល័យបើកថ្ងៃអង្គារ", "បណ្ណាល័យ"),
    ],
)
def test_a_part_of_a_sentence_without_spaces_is_found_in_it(database: Engine, document: str, question: str) -> None:
    simple = cast(literal("simple"), REGCONFIG)
    words = func.to_tsvector(simple, wording.spaced(document))
    asked = func.plainto_tsquery(simple, wording.spaced(question))
    with database.connect() as connection:
        assert connection.scalar(select(words.op("@@")(asked)))


def test_a_million_letters_in_a_row_are_paired() -> None:
    assert len(wording.spaced("图" * 1_000_000)) == 3 * 999_999 - 1
