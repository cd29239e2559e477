"""The words of a text, as the index of words is to see them: whose language's they are, and where one ends."""

import itertools
import re
import unicodedata

# ISO 639-1, and the names that its registration authority gives in English, the first where there are several.
_NAMES = """
aa afar, ab abkhazian, ae avestan, af afrikaans, ak akan, am amharic, an aragonese, ar arabic, as assamese, av avaric,
ay aymara, az azerbaijani, ba bashkir, be belarusian, bg bulgarian, bi bislama, bm bambara, bn bengali, bo tibetan, br
breton, bs bosnian, ca catalan, ce chechen, ch chamorro, co corsican, cr cree, cs czech, cu church slavic, cv chuvash,
cy welsh, da danish, de german, dv divehi, dz dzongkha, ee ewe, el greek, en english, eo esperanto, es spanish, et
estonian, eu basque, fa persian, ff fulah, fi finnish, fj fijian, fo faroese, fr french, fy western frisian, ga irish,
gd gaelic, gl galician, gn guarani, gu gujarati, gv manx, ha hausa, he hebrew, hi hindi, ho hiri motu, hr croatian, ht
haitian, hu hungarian, hy armenian, hz herero, ia interlingua, id indonesian, ie interlingue, ig igbo, ii sichuan yi,
ik inupiaq, io ido, is icelandic, it italian, iu inuktitut, ja japanese, jv javanese, ka georgian, kg kongo, ki
kikuyu, kj kuanyama, kk kazakh, kl kalaallisut, km khmer, kn kannada, ko korean, kr kanuri, ks kashmiri, ku kurdish,
kv komi, kw cornish, ky kirghiz, la latin, lb luxembourgish, lg ganda, li limburgan, ln lingala, lo lao, lt
lithuanian, lu luba-katanga, lv latvian, mg malagasy, mh marshallese, mi maori, mk macedonian, ml malayalam, mn
mongolian, mr marathi, ms malay, mt maltese, my burmese, na nauru, nb norwegian bokmål, nd north ndebele, ne nepali,
ng ndonga, nl dutch, nn norwegian nynorsk, no norwegian, nr south ndebele, nv navajo, ny chichewa, oc occitan, oj
ojibwa, om oromo, or oriya, os ossetian, pa panjabi, pi pali, pl polish, ps pushto, pt portuguese, qu quechua, rm
romansh, rn rundi, ro romanian, ru russian, rw kinyarwanda, sa sanskrit, sc sardinian, sd sindhi, se northern sami, sg
sango, si sinhala, sk slovak, sl slovenian, sm samoan, sn shona, so somali, sq albanian, sr serbian, ss swati, st
southern sotho, su sundanese, sv swedish, sw swahili, ta tamil, te telugu, tg tajik, th thai, ti tigrinya, tk turkmen,
tl tagalog, tn tswana, to tonga, tr turkish, ts tsonga, tt tatar, tw twi, ty tahitian, ug uighur, uk ukrainian, ur
urdu, uz uzbek, ve venda, vi vietnamese, vo volapük, wa walloon, wo wolof, xh xhosa, yi yiddish, yo yoruba, za zhuang,
zh chinese, zu zulu
"""
_CODES = {" ".join(name): code for code, *name in map(str.split, _NAMES.split(","))}

# PostgreSQL's own text search configurations, which are named as the languages are.
_STEMMED = frozenset(
    (
        *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french"),
        *("german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali"),
        *("norwegian", "portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish"),
        "yiddish",
    )
)
_ALSO = {"norwegian bokmål": "norwegian", "norwegian nynorsk": "norwegian"}
_CONFIGS = {
    told: name if name in _STEMMED else _ALSO.get(name, "simple")
    for name, code in _CODES.items()
    for told in (name, code)
}

# What a collection's language may be: codes and names, in small letters.
LANGUAGES = frozenset(_CONFIGS)
_NAMES_BY_CODE = {code: name for name, code in _CODES.items()}
# A tag of BCP 47 with an ISO 639-1 code: the language, perhaps a script, perhaps a region.
_TAG = re.compile(r"([A-Za-z]{2})(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?")

# Letters of scripts that don't put spaces between words, and the marks on them. Hangul does put spaces, but there a
# word's end says what it does in the sentence, and compounds are written as one.
_LETTERS = (
    r"\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\u3105-\u312f"  # Hiragana, Katakana, Bopomofo
    r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    r"\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"  # Hangul
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"  # Thai, Lao
    r"\u1780-\u17d3\u17d7\u17dc\u17dd\u1000-\u103f\u1050-\u108f\ua9e0-\ua9ef\uaa60-\uaa7f"  # Khmer, Myanmar
    r"\u0f40-\u0fbc"  # Tibetan, which has a point after each syllable
    r"\u1a20-\u1a7f\u1b00-\u1b4b\ua980-\ua9c0\u1950-\u19df\ua000-\ua48c"  # Tai Tham, Balinese, Javanese, Tai Lue, Yi
)
_RUN = re.compile(f"[{_LETTERS}]+")
_WORD = re.compile(r"\w+")
# PostgreSQL takes the end of a code such as QX-7741 for a number below zero, and `read/write` for the name of a file.
_JOINT = re.compile(r"(?<=\w)-(?=\d)|(?<=\w)/(?=\w)")


def config(language: str | None) -> str:
    """PostgreSQL's text search configuration for a language of `LANGUAGES`: `simple` where it has none of its own.

    None is English. Raises `KeyError` for anything else.
    """
    return _CONFIGS["en" if language is None else language]


def code(language: str) -> str:
    """The ISO 639-1 code of one of `LANGUAGES`: what two ways of naming a language have in common."""
    return _CODES.get(language, language)


def called(language: str) -> str:
    """What a language is called in English, capitalised, by its name or a tag of BCP 47; a longer tag stands behind it.

    Raises `KeyError` for a language that isn't one of `LANGUAGES`.
    """
    if language.lower() in _CODES:
        return language.title()
    tag = _TAG.fullmatch(language)
    name = _NAMES_BY_CODE[tag[1].lower() if tag else language].title()
    return name if len(language) == 2 else f"{name} ({language})"


def spaced(text: str) -> str:
    """The text with spaces in what is written without any, so that a parser for words finds something to count.

    A run of letters of such a script becomes its pairs, each letter but the first and the last in two of them; a letter
    that stands alone stays. Marks stay with their letter. What a slash joins, or a hyphen before a digit, is cut there.
    The rest is left as it is. Linear in time.
    """
    return _RUN.sub(_pairs, _JOINT.sub(" ", text))


def count(text: str) -> int:
    """About how many words a text has: where they are written without spaces, one for two letters."""
    letters = [run.end() - run.start() for run in _RUN.finditer(text)]
    return sum(1 for _ in _WORD.finditer(_RUN.sub(" ", text))) + sum((length + 1) // 2 for length in letters)


def _pairs(run: "re.Match[str]") -> str:
    letters: list[str] = []
    for character in run.group():
        if letters and unicodedata.category(character).startswith("M"):
            letters[-1] += character
        else:
            letters.append(character)
    pairs = [first + second for first, second in itertools.pairwise(letters)] or letters
    before, after = run.string[run.start() - 1 : run.start()], run.string[run.end() : run.end() + 1]
    return f"{_space(before)}{' '.join(pairs)}{_space(after)}"


def _space(beside: str) -> str:
    """A space, unless there is one or nothing beside the run."""
    return "" if not beside or beside.isspace() else " "
