"""`breakeven policy`: what it prints is what the code asks of S3 (moto's server on loopback), no more and no less."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from pipeline.build.collect import collect, plan_collection
from pipeline.cli import group
from pipeline.config.whole import Config
from pipeline.decisions.graph import build_project, shipped_graph
from pipeline.doctor.policy import S3Place, aws_places, aws_policy
from pipeline.landing.s3 import missing_permission
from pipeline.sources import prometheus
from pipeline.sources.source import FetchContext
from tests.cli.examined import of, rows
from tests.iam_role import Grant, Role, acting_as
from tests.moto_s3 import S3Server, s3_server
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, SmallProject, source, three_days
from tests.sources import admin_api
from tests.sources.cur2 import S3Place as ExportPlace
from tests.sources.cur2 import line, parquet, refresh
from tests.sources.prometheus_api import PrometheusApi
from tests.sources.prometheus_fleet import Engine, Fleet

INFRA = Path(__file__).parents[2] / "infra" / "iam"
CONTAINER = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/example/providers/Microsoft.Storage/"
    "storageAccounts/examplebilling/blobServices/default/containers/exports"
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@dataclass(frozen=True)
class Operated:
    """A company whose role was asked for everything that a run, a second machine and doctor need."""

    company: SmallProject
    role: Role


@pytest.fixture(scope="module")
def operated(server: S3Server, tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> Iterator[Operated]:
    """A cloud bill, an inbox and the state, each in an S3 bucket of its own, the last one with versions."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in server.environment.items():
            patched.setenv(name, value)
        bills, inbox, state = server.bucket(), server.bucket(), server.bucket(is_versioned=True)
        place = ExportPlace(boto3.client("s3"), bills)
        refresh(place, [parquet([line(1.0)])], at=NOW - timedelta(days=1))
        boto3.client("s3").put_object(Bucket=inbox, Key=f"drop/{CONSOLE_NAME}", Body=three_days("1", "2", "3"))
        company = SmallProject(
            tmp_path_factory.mktemp("policy") / "company",
            [
                source("aws_cur2", "cloud", inbox=None, settings={"export": place.root}),
                source(CONSOLE, "acme", inbox=f"s3://{inbox}/drop"),
            ],
            {"state": f"s3://{state}/state"},
            warm_cache=warm_cache,
        )
        with acting_as(printed(company)) as role:
            everyday(company)
            elsewhere = another_machine(company)
            assert build_project(elsewhere.project, as_of=NOW).ran == {}
            assert troubles(elsewhere) == []
        yield Operated(company, role)


@pytest.fixture
def company(operated: Operated) -> SmallProject:
    return operated.company


def policy(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["policy", *arguments])


def printed(project: SmallProject, *more: str) -> dict[str, Any]:
    done = policy("aws", "--project", str(project.folder), *more)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def everyday(project: SmallProject) -> None:
    """What `run` asks of S3, and `doctor` after it."""
    assert [one.error for one in project.ingest() if one.error is not None] == []
    built = build_project(project.project, as_of=NOW)
    assert list(built.notes) == []
    assert [row["said"] for row in troubles(project)] == []


def another_machine(project: SmallProject) -> SmallProject:
    """The same project where nothing lies yet."""
    return SmallProject(project.folder.parent / "elsewhere", project.sources, project.other_sections)


def troubles(project: SmallProject) -> list[dict[str, Any]]:
    """What keeps doctor from a source."""
    checks = ("access", "inbox")
    return [row for row in rows(project.folder) if row["state"] == "fix" and row["check"] in checks]


def test_the_policy_allows_exactly_what_a_run_and_doctor_ask(operated: Operated) -> None:
    role = operated.role
    assert role.refused == []
    assert role.grants - role.used == set()
    # Denied is what nobody asks for.
    assert {action for _, action, _, _ in role.grants} == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}


def test_a_legacy_report_is_read_with_all_its_months_and_nothing_beside_it(tmp_path: Path) -> None:
    settings = {"export": "s3://bills/cur/company"}
    made = SmallProject(tmp_path / "company", [source("aws_cur", "cloud", inbox=None, settings=settings)])
    (listed, read) = printed(made)["Statement"]
    assert listed["Condition"] == {"StringLike": {"s3:prefix": ["cur/company/*"]}}
    assert (read["Action"], read["Resource"]) == ("s3:GetObject", "arn:aws:s3:::bills/cur/company/*")


def without(policy: Mapping[str, Any], grant: Grant) -> dict[str, Any]:
    """The policy less one thing that it allows."""
    kept = []
    for effect, (sid, action, resource, prefix) in Role(policy)._said():
        if (sid, action, resource, prefix) != grant:
            condition = {} if prefix is None else {"Condition": {"StringLike": {"s3:prefix": [prefix]}}}
            kept.append({"Sid": sid, "Effect": effect, "Action": action, "Resource": resource, **condition})
    return {**policy, "Statement": kept}


def test_whatever_an_export_or_an_inbox_lacks_is_named(company: SmallProject) -> None:
    """Doctor reads no file of a bill: of what only the run needs, the run says it."""
    whole = printed(company)
    of_sources = [one for one in sorted(Role(whole).grants, key=str) if one[0].endswith(("Export", "Inbox"))]
    assert len(of_sources) == 6
    export, inbox = (str(place).removeprefix("s3://").split("/")[0] for place in places_of(company))
    for number, grant in enumerate(of_sources):
        at = NOW - timedelta(hours=12 - number)
        refresh(ExportPlace(boto3.client("s3"), export), [parquet([line(float(number))])], at=at)
        more = CONSOLE_NAME.replace("04.csv", f"1{number}.csv")
        boto3.client("s3").put_object(Bucket=inbox, Key=f"drop/{more}", Body=three_days("1", "2", f"4.{number}"))
        with acting_as(without(whole, grant)):
            said = [f"{row['said']} {row['fix']}" for row in troubles(company)]
            said += [one.error for one in company.ingest() if one.error is not None]
        assert said != [], grant
        for one in said:
            assert f"The role needs {grant[1]} there" in one
            assert "`breakeven policy aws` prints all that it needs" in one


def places_of(company: SmallProject) -> tuple[str, str]:
    return company.sources[0]["settings"]["export"], company.sources[1]["inbox"]


def test_what_s3_says_is_missing_is_what_is_named(company: SmallProject) -> None:
    """A key of KMS, say: the policy has S3's permissions, and the refusal names another service's."""
    (_, inbox) = places_of(company)
    refusal = {"Code": "AccessDenied", "Message": "x is not authorized to perform: kms:Decrypt on resource: y"}
    error = ClientError({"Error": refusal, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject")
    assert missing_permission(error, "s3:GetObject") == "kms:Decrypt"
    odd = {"Code": "AccessDenied", "Message": "not authorized to perform: <script>:x"}
    assert missing_permission(ClientError({"Error": odd}, "GetObject"), "s3:GetObject") == "s3:GetObject"
    assert missing_permission(RuntimeError("x"), "s3:ListBucket") == "s3:ListBucket"
    with acting_as({"Statement": []}):
        (found,) = of(rows(company.folder), "inbox", account="acme")
        (landing,) = [row for row in rows(company.folder) if row["area"] == "landing"]
    assert f"S3 refused {inbox}: AccessDenied. The role needs s3:ListBucket there" in found["said"]
    assert "The role needs s3:ListBucket on this bucket; `breakeven policy aws`" in landing["said"]


def test_the_examples_in_infra_are_what_is_printed() -> None:
    export = S3Place("export", "example-billing", "exports/example-cur2/")
    inbox = S3Place("inbox", "example-exports", "inbox/")
    state = S3Place("state", "example-breakeven", "state/")
    for name, place, is_cleanup in (
        ("data_export_read", export, False),
        ("inbox_read", inbox, False),
        ("landing", state, False),
        ("cleanup", state, True),
    ):
        assert json.loads((INFRA / f"{name}.json").read_text()) == aws_policy([place], is_cleanup=is_cleanup), name


NAMES = st.text(st.sampled_from("ab-/*?$."), min_size=1, max_size=8).map(lambda text: text.strip("/") or "a")


@given(prefix=NAMES, other=NAMES)
def test_a_prefix_that_holds_signs_of_a_pattern_stands_for_itself_only(prefix: str, other: str) -> None:
    allowed = Role(aws_policy([S3Place("inbox", "bucket", f"{prefix}/")]))
    key = f"arn:aws:s3:::bucket/{other}/x"
    assert allowed.allows("s3:GetObject", key, None) == f"{other}/x".startswith(f"{prefix}/")
    assert allowed.allows("s3:ListBucket", "arn:aws:s3:::bucket", f"{other}/") == (other == prefix)


def test_two_exports_have_two_statements_of_their_own_names() -> None:
    places = [S3Place("export", "one", "a/"), S3Place("export", "two", "")]
    found = aws_policy(places)
    assert [one["Sid"] for one in found["Statement"]] == ["ListExport", "ReadExport", "ListExport2", "ReadExport2"]
    assert all(one["Sid"].isalnum() for one in found["Statement"])


def test_a_managed_prometheus_is_asked_for_nothing_but_what_the_policy_allows() -> None:
    """Its API's paths stand for the actions."""
    url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-12ab-34/"
    said = {"source": "prometheus", "account": "fleet", "base_url": url, "settings": {"sigv4_region": "eu-west-1"}}
    (statement,) = aws_policy(aws_places(Config.model_validate({"company": "a", "sources": [said]})))["Statement"]
    assert statement["Resource"] == "arn:aws:aps:eu-west-1:*:workspace/ws-12ab-34"
    engine = Engine(started=NOW - timedelta(days=1), ended=NOW + timedelta(days=1))
    fleet = Fleet(start=NOW - timedelta(minutes=30), stop=NOW, engines=[engine])
    with admin_api.serving(PrometheusApi(series=fleet.series())) as api:
        context = FetchContext(
            account="fleet", settings={"base_url": api.base_url}, from_at=None, to_at=NOW, now=NOW, environment={},
            sleep=lambda _: None,
        )  # fmt: skip
        for fetched in prometheus.fetch(context):
            assert [payload.name for payload in fetched.payloads] != []
        for probe in prometheus.probe(context):
            probe.ask(5.0)
    actions = {
        "query": "aps:QueryMetrics",
        "series": "aps:GetSeries",
        "values": "aps:GetLabels",
    }
    assert {actions[path.rpartition("/")[2]] for path, _ in api.asked} == set(statement["Action"])


def test_invoices_that_are_asked_for_need_one_permission_and_saved_ones_none() -> None:
    asked = {"source": "aws_invoices", "account": "aws", "settings": {"account_id": "111122223333"}}
    saved = {"source": "aws_invoices", "account": "saved", "inbox": "inbox/invoices"}
    config = Config.model_validate({"company": "acme", "sources": [asked, saved]})
    (statement,) = aws_policy(aws_places(config))["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("invoicing:ListInvoiceSummaries", "*")
    assert aws_policy(aws_places(config), is_cleanup=True)["Statement"] == []


def test_where_nothing_is_on_s3_it_says_so(make_project: MakeProject) -> None:
    made = make_project([source(CONSOLE, "acme")])
    for more, words in (((), "names nothing at AWS"), (("--cleanup",), "keeps no `state` on S3")):
        done = policy("aws", "--project", str(made.folder), *more)
        assert done.exit_code == 1
        assert words in str(done.exception)


def test_google_and_azure_get_a_role_that_reads_and_nothing_else() -> None:
    done = policy("gcp", "--bucket", "gs://example-billing")
    assert json.loads(done.stdout)["includedPermissions"] == ["storage.objects.get", "storage.objects.list"]
    assert "gcloud storage rsync --recursive gs://example-billing INBOX" in done.stderr
    done = policy("azure", "--container", CONTAINER)
    role = json.loads(done.stdout)
    assert (role["Actions"], [one.rpartition("/")[2] for one in role["DataActions"]]) == ([], ["read"])
    assert role["AssignableScopes"] == [CONTAINER.partition("/providers")[0]]
    assert "https://examplebilling.blob.core.windows.net/exports" in done.stderr
    for arguments in (("gcp", "--bucket", "No Bucket"), ("azure", "--container", "exports")):
        wrong = policy(*arguments)
        assert wrong.exit_code == 2
        assert "is not a" in wrong.output


def test_the_cleanup_policy_allows_exactly_what_collect_and_redact_ask(company: SmallProject) -> None:
    """The last of these: what it redacts and collects the others need."""
    company = another_machine(company)
    with acting_as(printed(company, "--cleanup")) as role:
        redacted = ["landing", "redact", CONSOLE_NAME, "--reason", "a test", "--yes"]
        done = CliRunner().invoke(group, [*redacted, "--project", str(company.folder)])
        assert done.exit_code == 0, done.output
        # What the first build made is not needed by the second, and nobody looks at it for a year.
        project, later = company.project, datetime.now(UTC) + timedelta(days=365)
        build_project(project, as_of=NOW + timedelta(days=1))
        plan = plan_collection(
            project.landing.contents(), datasets=shipped_graph().datasets, paths=project.paths, shared=project.shared,
            keep=timedelta(days=1), now=later,
        )  # fmt: skip
        collect(plan, paths=project.paths, shared=project.shared, now=later)
    assert role.refused == []
    assert role.grants - role.used == set()
