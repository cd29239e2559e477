"""What pytest reports of OpenAI's tests, read."""

from cli.conformance import suite
from cli.conformance.suite import Outcome

REPORT = """<testsuites><testsuite>
<testcase classname="tests.api_resources.test_models.TestModels" name="test_method_list[strict]"/>
<testcase classname="tests.api_resources.chat.test_completions.TestCompletions" name="test_method_list[aiohttp]">
<failure message="Error code: 404">at length</failure></testcase>
<testcase classname="tests.api_resources.test_models.TestModels" name="test_other[loose]"><skipped/></testcase>
</testsuite></testsuites>"""


def test_tests_are_told_by_area_and_client() -> None:
    """With what each that failed complained of; those that were skipped aren't counted."""
    assert suite.outcomes(REPORT) == [
        Outcome("models", "TestModels::test_method_list", "strict", passed=True),
        Outcome(
            "chat completions",
            "TestCompletions::test_method_list",
            "aiohttp",
            passed=False,
            complaint="Error code: 404",
        ),
    ]
