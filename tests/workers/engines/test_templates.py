"""Chat templates in their sandbox."""

import pytest

from tasks import errors
from workers.engines import templates

HELLO = [{"role": "user", "content": "hello"}]


def render(source: str) -> str:
    return templates.compile(source, "<s>", "</s>")(HELLO)


def test_model_without_a_template_has_no_chat_and_says_so() -> None:
    """No other's template is taken without a word."""
    assert templates.compiled(None, "<s>", "</s>") == (None, templates.NONE)


def test_broken_template_is_told_in_one_line() -> None:
    """Without the library's own position in its source."""
    render, problem = templates.compiled("{% for message in messages %}\n{% if %}", "<s>", "</s>")
    assert render is None
    assert problem == "the model's chat template: Expected an expression, got 'end of statement block'"


def test_refusal_of_a_template_is_its_own_words() -> None:
    """What `raise_exception` is called with, and nothing else."""
    with pytest.raises(errors.EngineRefused, match=r"^the model's chat template: roles must alternate$"):
        render("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize("template", ["{{ raise_exception('only users') }}", "{{ messages[0]['content'] }}"])
def test_system_message_is_never_dropped(template: str) -> None:
    """Where the template doesn't know of one, the user says it."""
    source = "{% if messages[0]['role'] == 'system' %}" + template.replace("[0]", "[1]") + "{% else %}"
    render = templates.compile(source + "{{ messages[0]['content'] }}{% endif %}", "", "")
    assert render([{"role": "system", "content": "Be brief."}, *HELLO]) == "Be brief.\nhello"


@pytest.mark.parametrize(
    "source",
    [
        "{% if %}",
        "{{ raise_exception('no') }}",
        "{{ messages[5]['content'] }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 999999999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a'.ljust(999999999) }}",
        "{{ 'a' | center(999999999) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include '/etc/passwd' %}",
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1, 2]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    ],
)
def test_template_that_means_harm_is_refused(source: str) -> None:
    """It can reach nothing, and neither run nor write without end."""
    with pytest.raises(errors.EngineRefused, match="the model's chat template"):
        render(source)
