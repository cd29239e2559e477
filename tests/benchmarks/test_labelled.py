"""The sets on which searches are measured."""

from pathlib import Path

import pytest

from benchmarks import labelled


@pytest.mark.parametrize("language", labelled.LANGUAGES)
def test_generated_set_has_texts_that_differ_in_little_and_questions_with_one_answer(language: str) -> None:
    made = labelled.generated(language)
    assert len(made.texts) >= 150
    assert len({text.text for text in made.texts}) == len(made.texts)
    assert len({question.text for question in made.questions}) == 60
    assert all(len(question.answers) == 1 for question in made.questions)
    assert not any("{" in one.text for one in (*made.texts, *made.questions))


def test_cranfield_is_read_by_its_order(tmp_path: Path) -> None:
    """Questions are numbered by where they stand, and what is judged -1 answers nothing."""
    (tmp_path / "cran.all.1400").write_text(
        ".I 1\n.T\none .\n.A\nsomebody\n.B\nj. 1.\n.W\none .\nabout wings .\n.I 2\n.T\ntwo .\n.A\n.B\n.W\ntwo .\n"
    )
    (tmp_path / "cran.qry").write_text(".I 001\n.W\nwings\nand more .\n.I 004\n.W\ntwo .\n.I 009\n.W\nnothing .\n")
    (tmp_path / "cranqrel").write_text("1 1 2\n2 2 4\n2 1 -1\n3 2 -1\n")
    made = labelled.cranfield(tmp_path)
    assert [(text.title, text.text) for text in made.texts] == [("one .", "one .\nabout wings ."), ("two .", "two .")]
    assert [(question.text, question.answers) for question in made.questions] == [
        ("wings\nand more .", frozenset({0})),
        ("two .", frozenset({1})),
    ]
