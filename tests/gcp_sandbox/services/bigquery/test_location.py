"""The location of datasets and jobs: a job runs where its tables are, and is found nowhere else."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import CopyJobConfig

from tests.gcp_sandbox.conftest import PROJECT

MAIN = f"{PROJECT}.sales_intelligence"
COUNT = f"SELECT COUNT(*) FROM `{MAIN}.etl_runs`"


@pytest.mark.parametrize("place", ["US", "EU", "us-east4"])
def test_a_query_runs_where_its_dataset_is(cloud, place):
    here = cloud(location=place)
    assert here.bigquery.get_dataset(MAIN).location == place
    assert here.bigquery.get_table(f"{MAIN}.etl_runs").location == place
    assert here.bigquery.query(COUNT, retry=None).location == place
    [row] = here.bigquery.query(COUNT, location=place.lower(), retry=None).result(retry=None)
    assert row[0]
    for other in ("us-central1", "europe-west1"):
        with pytest.raises(NotFound, match=f"sales_intelligence was not found in location {other}"):
            here.bigquery.query_and_wait(COUNT, location=other, retry=None, job_retry=None)
    assert list(here.bigquery.query_and_wait("SELECT 1", location="europe-west1", retry=None, job_retry=None))


def test_a_copy_runs_where_its_dataset_is(cloud):
    here, config = cloud(location="US"), CopyJobConfig(operation_type="SNAPSHOT")
    given = (f"{MAIN}.etl_runs", f"{MAIN}_backup.x")
    with pytest.raises(NotFound, match="not found in location us-central1"):
        here.bigquery.copy_table(*given, job_config=config, location="us-central1").result(retry=None)
    assert here.bigquery.copy_table(*given, job_config=config).result(retry=None).location == "US"


@pytest.mark.parametrize(
    ("place", "asked", "found"),
    [
        ("US", "US", True),
        ("US", "us", True),
        ("US", "", True),
        ("EU", "", True),
        ("US", "us-central1", False),
        ("us-central1", "us-central1", True),
        ("us-central1", "", False),
        ("us-central1", "US", False),
    ],
)
@pytest.mark.parametrize("path", ["jobs", "queries"])
def test_a_job_is_found_by_its_location(cloud, place, asked, found, path):
    here = cloud(location=place)
    job = here.bigquery.query(COUNT, retry=None)
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/{path}/{job.job_id}"
    answer = here.session.get(url, params={"location": asked} if asked else {})
    assert answer.status_code == (200 if found else 404)
    assert found or f"Not found: Job {PROJECT}" in answer.json()["error"]["message"]
