"""The routes beyond OpenAI's: asking again."""

from tests.webapi.conftest import Api


def test_only_batches_are_asked_again(api: Api) -> None:
    """Another job's id, as a batch's, is nobody's: no job is made of it."""
    job = api.submit()
    api.post(f"/v1/jobs/{job['id']}/cancel")
    before = api.get("/v1/jobs").json["data"]
    assert before[0]["status"] == "cancelled"
    refused = api.post(f"/v1/batches/{job['id'].replace('job_', 'batch_')}/retry")
    assert refused.status_code == 404
    assert api.get("/v1/jobs").json["data"] == before
