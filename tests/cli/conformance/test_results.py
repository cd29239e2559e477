"""The page of results."""

from cli.conformance import results
from cli.conformance.results import Run
from cli.conformance.suite import Outcome

PASSED = Outcome("models", "TestModels::test_list", "strict", passed=True)
FAILED = Outcome("models", "TestModels::test_show", "strict", passed=False, complaint="Error code: 404\nmore")


def test_the_page_sets_runs_side_by_side_and_names_what_failed() -> None:
    """Passed of collected, by how strict the client was; the first line of each complaint."""
    runs = [Run("as it is", [PASSED, FAILED], 3, 3, {}), Run("relaxed", [PASSED], 2, 2, {"max_tokens": 4})]
    page = results.page(runs)
    assert "| models | none | 1 of 2 | none | none | 1 of 1 | none |" in page
    assert "`models: TestModels::test_show[strict]` Error code: 404\n" in page
    assert "`max_tokens` (4 times)" in page


def test_a_run_is_whole_where_all_passed_and_each_call_made_one_job() -> None:
    """A call that was answered without a job is a failure of its own."""
    assert Run("relaxed", [PASSED], 2, 2, {}).whole
    assert not Run("relaxed", [PASSED], 2, 1, {}).whole
    assert not Run("relaxed", [PASSED, FAILED], 2, 2, {}).whole
