"""`breakeven init`: what it finds, that it shows no secret, what it writes, and that the proposals may all be taken."""

import json
import re
import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import group
from pipeline.config.file import load_config, parse_config
from pipeline.doctor.discover import discover
from pipeline.doctor.proposal import Entry, Proposals, proposals_of, yaml_text
from pipeline.landing.project import Project
from pipeline.sources.ingest import check_sources
from pipeline.sources.invoice_guess import guess_settings
from tests.cli.examined import of
from tests.cli.examined import rows as rows_of
from tests.cli.no_daily_job import nobody_records
from tests.pipeline.small_project import (
    CONSOLE_NAME,
    NOW,
    console_csv,
    console_row,
    invoice_csv,
    spool_file,
    three_days,
)
from tests.sources import azure, cur_legacy, gcp, litellm, oci
from tests.sources.admin_api import KEY, AdminApi, serving
from tests.sources.cur2 import FIRST, FolderPlace, line
from tests.sources.prometheus_api import PrometheusApi
from tests.sources.prometheus_fleet import Engine, Fleet, Pod
from tests.sources.prometheus_fleet import Gpu as GpuSeries
from tests.sources.reachable import KUBE_TOKEN, KubeApi, aws, node, pod

KUBE_EXEC = "client.authentication.k8s.io/v1"
SECRETS = (KEY, "hunter2-secret-password", "xoxb-secret-token-0001")


@pytest.fixture(autouse=True)
def a_bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no profile and no context of whoever runs the tests."""
    import os

    for name in os.environ:
        if re.search("ANTHROPIC|OPENAI|AWS|KUBE|SLACK|PROMETHEUS", name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path, warm_cache: Path) -> Path:
    """An empty folder; what other projects have computed does not have to be computed again."""
    made = tmp_path / "acme"
    for name in ("lineage", "schemas", "nodes", "inputs"):
        shutil.copytree(warm_cache / name, made / ".breakeven" / "cache" / name)
    return made


def init(folder: Path, *more: str) -> Result:
    return CliRunner().invoke(group, ["init", str(folder), "--as-of", NOW.isoformat(), *more])


def written(folder: Path) -> str:
    return (folder / "breakeven.yaml").read_text(encoding="utf-8")


def taken(text: str) -> str:
    """The file with every proposal taken."""
    return re.sub(r"^# ( *- \{|workloads:|deployments:|gpu_resources:|slack:)", r"\1", text, flags=re.MULTILINE)


def test_an_empty_folder_says_what_it_looked_for_and_gives_a_file_to_start_from(folder: Path) -> None:
    done = init(folder)
    assert done.exit_code == 0, done.output
    assert "nothing: no Admin key, no export below this folder" in done.output
    assert load_config(folder / "breakeven.yaml").company == "acme"


def test_what_is_there_already_is_never_overwritten(folder: Path) -> None:
    (folder / "breakeven.yaml").write_text("company: mine\n")
    done = init(folder)
    assert done.exit_code == 1
    assert "is there already, and is not overwritten" in str(done.exception)
    assert written(folder) == "company: mine\n"
    printed = init(folder, "--print")
    assert parse_config(printed.output).company == "acme"
    assert sorted(path.name for path in folder.iterdir()) == [".breakeven", "breakeven.yaml"]


def test_keys_profiles_and_contexts_are_told_by_name_and_no_value_is_shown_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text("[default]\nregion = x\n[profile billing]\n")
    (home / ".aws" / "credentials").write_text(f"[ops]\naws_secret_access_key = {SECRETS[1]}\n")
    (home / ".kube").mkdir()
    (home / ".kube" / "config").write_text(f"current-context: prod-eu\nusers: [{{token: {SECRETS[1]}}}]\n")
    for name, value in (
        ("ANTHROPIC_ADMIN_KEY", KEY),
        ("OPENAI_LABS_ADMIN_KEY", KEY),
        ("OPENAI_API_KEY", SECRETS[1]),
        ("SLACK_BOT_TOKEN", SECRETS[2]),
        ("AWS_ACCESS_KEY_ID", SECRETS[1]),
    ):
        monkeypatch.setenv(name, value)
    done = init(folder, "--offline")
    assert done.exit_code == 0, done.output
    for words in (
        "ANTHROPIC_ADMIN_KEY is set: Admin API of anthropic, account main (not asked: --offline)",
        "OPENAI_LABS_ADMIN_KEY is set: Admin API of openai, account labs",
        "OPENAI_API_KEY is set: it may ask models, not costs",
        "AWS_ACCESS_KEY_ID, profile default, profile billing, profile ops",
        "context prod-eu",
        "SLACK_BOT_TOKEN is set",
    ):
        assert words in done.output
    everything = done.output + "".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts
    )
    assert [secret for secret in SECRETS if secret in everything] == []
    sources = load_config(folder / "breakeven.yaml").sources
    assert [(one.source, one.account, one.key_env) for one in sources] == [
        ("anthropic_cost_api", "main", "ANTHROPIC_ADMIN_KEY"),
        ("anthropic_usage_api", "main", "ANTHROPIC_ADMIN_KEY"),
        ("openai_costs_api", "labs", "OPENAI_LABS_ADMIN_KEY"),
        ("openai_usage_api", "labs", "OPENAI_LABS_ADMIN_KEY"),
    ]
    assert '# slack: {channel: "#llm-costs"}' in written(folder)


@pytest.mark.parametrize("where", ["--prometheus", "PROMETHEUS_URL", "--base-url"])
@pytest.mark.parametrize(
    "address",
    [
        "https://:hunter2-secret-password@h",
        "https://me:hunter2-secret-password@[h",
        "https://h/x?key=hunter2-secret-password",
    ],
)
def test_an_address_with_a_secret_in_it_is_not_written_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, address: str
) -> None:
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", KEY)
    if where == "PROMETHEUS_URL":
        monkeypatch.setenv(where, address)
    named = {"--prometheus": [where, address], "--base-url": [where, f"anthropic={address}"]}.get(where, [])
    done = init(folder, "--offline", *named)
    assert done.exit_code == 2
    assert SECRETS[1] not in done.output
    assert re.search("Give the address alone|is no address", " ".join(done.output.split()))
    assert not (folder / "breakeven.yaml").exists()


def test_a_key_that_is_refused_is_told_and_the_rest_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-ant-admin01-mistyped-mistyped")
    (folder / "labs").mkdir()
    (folder / "labs" / CONSOLE_NAME).write_bytes(three_days("1.00", "2.00", "3.00"))
    with serving(AdminApi(lambda at: [])) as api:
        done = init(folder, "--base-url", f"anthropic={api.base_url}")
    assert done.exit_code == 0, done.output
    assert "not read: anthropic_cost_api of main:" in done.output
    assert "HTTP 401" in done.output
    assert "mistyped-mistyped" not in done.output
    assert "anthropic, account labs: $6.00" in done.output


def test_exports_are_known_by_content_put_into_inboxes_and_read_by_the_next_run(folder: Path) -> None:
    """Two invoices of different columns have an inbox each; a file that is none is left where it is, and said."""
    rows = [console_row(day, "1.00", workspace=name) for day in ("2026-11-01",) for name in ("support", "coding")]
    (folder / "a.csv").write_bytes(console_csv([*rows, console_row("2026-11-01", "4.00", workspace="support")]))
    (folder / "b.csv").write_bytes(invoice_csv([("GPU server", "node-1", "72.00")], total="72.00"))
    (folder / "c.csv").write_text(
        "Rechnung;Posten;Betrag;Währung;Von;Bis\n7;H100 Server;10,50;EUR;01.11.2026;30.11.2026\n"
    )
    (folder / "odd.csv").write_text("what,amount\nsomething,lots\n")
    (folder / "spool").mkdir()
    (folder / "spool" / "x.jsonl").write_bytes(spool_file("2026-11-01"))
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n")
    (folder / "cur.csv").write_text("bill_bill_type,line_item_unblended_cost\nAnniversary,1.0\n")
    (folder / "focus.csv").write_text("BilledCost,ChargeCategory\n1.0,Usage\n")
    (folder / "gateway.csv").write_bytes(litellm.export_csv([litellm.row("2026-11-03", "1.0")]))
    done = init(folder)
    assert done.exit_code == 0, done.output
    config = load_config(folder / "breakeven.yaml")
    assert {(one.source, one.account, one.inbox) for one in config.sources} == {
        ("anthropic_console_csv", "main", "inbox/anthropic_console_csv/main"),
        ("invoice_csv", "gpu-cloud", "inbox/invoice_csv/gpu-cloud"),
        ("invoice_csv", "gpu-cloud-2", "inbox/invoice_csv/gpu-cloud-2"),
        ("focus", "cloud", "inbox/focus/cloud"),
        ("nvml_spool", "fleet", "spool"),
    }
    for words in (
        "cur.csv: a part of a CUR 2.0 export",
        "gateway.csv: a gateway's export, not read: Its name does not say which window it exports",
        "not read: focus.csv: row 1: no column",
    ):
        assert words in done.output
    assert "odd.csv: a table with money, not read until" in done.output
    assert "picture.png: not used, a picture" in done.output
    assert "anthropic, account main: $6.00; workspaces coding, support" in done.output
    assert "host host-1: 1 GPU, serves nothing seen" in done.output
    assert (folder / "a.csv").exists()
    waiting = [row["said"] for row in of(rows_of(folder, "--offline"), "inbox")]
    assert waiting == ["1 of 1 file in the inbox not landed yet"] * 5
    assert Project(folder).landing.contents().deliveries == ()


def test_clouds_own_exports_are_found_with_what_they_need(folder: Path) -> None:
    """By manifests where there are some; what a file of Google's is all of only a person can say."""
    azure.run(folder / "azure", {"part_0_0001.csv": azure.details([azure.row()])})
    cur_legacy.refresh(FolderPlace(folder / "reports" / "company"), [cur_legacy.csv_gz([line()])], at=FIRST)
    (folder / "0001000000000001.csv.gz").write_bytes(oci.report([oci.row()], is_packed=True))
    (folder / "november.json").write_bytes(gcp.json_lines([gcp.row()]))
    done = init(folder)
    assert done.exit_code == 0, done.output
    config = load_config(folder / "breakeven.yaml")
    assert {(one.source, one.account, one.inbox, one.settings.get("export")) for one in config.sources} == {
        ("azure_cost_details", "azure", None, "azure"),
        ("aws_cur", "aws", None, "reports/company"),
        ("oci_cost_report", "oci", "inbox/oci_cost_report/oci", None),
        ("gcp_billing_export", "gcp", "inbox/gcp_billing_export/gcp", None),
    }
    assert "files: parts, where each file is what was exported since the one before" in written(folder)


def test_proposals_are_ranked_by_dollars_and_all_of_them_may_be_taken(folder: Path) -> None:
    rows = [("small", "1.00"), ("large", "9.00"), ("middle", "3.00")]
    (folder / CONSOLE_NAME).write_bytes(
        console_csv(console_row("2026-11-01", cost, workspace=name) for name, cost in rows)
    )
    assert init(folder, "--gpu-hour", "2.69").exit_code == 0
    text = written(folder)
    assert re.findall(r"workload: (\w+), .*covers (\S+)", text) == [
        ("large", "$9.00"),
        ("middle", "$3.00"),
        ("small", "$1.00"),
    ]
    assert load_config(folder / "breakeven.yaml").workloads == ()
    config = parse_config(taken(text))
    assert [one.workload for one in config.workloads] == ["large", "middle", "small"]
    (folder / "breakeven.yaml").write_text(taken(text))
    runner = CliRunner()
    run = ["--project", str(folder), "--as-of", NOW.isoformat()]
    with nobody_records():
        done = runner.invoke(group, ["run", *run])
    assert done.exit_code == 0, done.output
    assert "laws held" in done.output
    assert "LAW BROKEN" not in done.output


NAMES = st.text(min_size=1, max_size=12)
MONEY = st.decimals(min_value=0, max_value=10**6, places=2)


@pytest.mark.parametrize("name", ["a\nslack: {channel: x}", "a\r\n\n# b", "a\x85b", "a\u2028b", "'\n\"", "\n"])
def test_a_name_with_a_line_break_stays_on_its_line(name: str) -> None:
    line = {"deployment": "d", "served_names": [name], name: name}
    text = yaml_text("acme", [], Proposals(deployments=((line, "covers 1"),)), today=date.min)
    assert len(text.splitlines()) == 9
    assert yaml.safe_load(taken(text))["deployments"] == [line]


@settings(max_examples=50)
@given(
    api=st.lists(st.tuples(st.sampled_from(["anthropic", "openai"]), NAMES, NAMES, MONEY), max_size=6),
    hosts=st.lists(st.tuples(NAMES, NAMES), max_size=5, unique_by=lambda host: host[0]),
)
def test_whatever_things_are_called_the_file_is_one_and_says_them_as_they_are(
    api: list[tuple[str, str, str, Decimal]], hosts: list[tuple[str, str]]
) -> None:
    """Names are data: nothing of them is YAML, and no comment ends where a name has a line break."""
    rows = [
        {"provider": provider, "account": "main", "sub_account_id": division, "api_key_id": key, "model": "m",
         "billed_cost_rc": cost, "of_which_unassigned_cost_rc": cost}
        for provider, division, key, cost in api
    ]  # fmt: skip
    seen = [
        {"host": host, "served_names": served, "resource_id": host, "gpu_count": 2, "unpaid_days_count": 1,
         "serving_gpu_milliseconds": 5, "other_gpu_milliseconds": 1, "cost_rc": None,
         "first_seen_date": date(2026, 11, 1)}
        for host, served in hosts
    ]  # fmt: skip
    found = proposals_of(rows, seen, currency="USD", rate_per_gpu_hour=Decimal("2.69"), issuer="gpu-cloud")
    text = yaml_text("acme", [Entry({"source": "ecb_rates", "account": "ecb"})], found, today=date(2026, 11, 5))
    config = parse_config(text)
    assert sorted(one.host or "" for one in config.gpu_resources) == sorted(host for host, _ in hosts)
    assert all(line.startswith("#") for line in text.splitlines() if "workload:" in line or "deployment:" in line)
    said: dict[str, Any] = yaml.safe_load(taken(text))
    rules = [rule for one in said.get("workloads", []) for rule in one["match"]]
    assert len(rules) == len({json.dumps(rule, sort_keys=True) for rule in rules})
    parse_config(taken(text))


def test_a_prometheus_is_asked_what_it_scrapes_and_becomes_a_source(folder: Path) -> None:
    """Its last day is looked at; the first run takes all that it has kept."""
    engine = Engine(started=NOW - timedelta(days=3), ended=NOW + timedelta(days=1))
    gpu = GpuSeries("GPU-11111111-2222-3333-4444-555555555555")
    pod = Pod(owner=("ReplicaSet", "support-chat-7c9d8f6b5"))
    fleet = Fleet(
        start=NOW - timedelta(minutes=40), stop=NOW, engines=[engine], gpus=[gpu], pods=[pod], every_ms=60_000
    )
    series = [({**labels, "cluster": "eu-1"}, held) for labels, held in fleet.series()]
    with serving(PrometheusApi(series=series)) as api:
        done = init(folder, "--prometheus", api.base_url)
        fetched = [asked for path, asked in api.asked if path.endswith("/query") and "count by" not in asked["query"]]
        days = {int(float(asked["time"])) // 86_400 for asked in fetched}
    assert done.exit_code == 0, done.output
    assert "Prometheus at http://127.0.0.1" in done.output
    assert f"serves {engine.model_name}; clusters eu-1; nodes node-1" in done.output
    assert "not read" not in done.output
    assert len(days) <= 2
    # The Deployment whose pods they are gives the proposal its name.
    assert "#   - {deployment: support-chat, model: m, served_names: [m], hosts: [node-1]" in (
        folder / "breakeven.yaml"
    ).read_text(encoding="utf-8")
    (source,) = load_config(folder / "breakeven.yaml").sources
    assert (source.source, source.base_url, source.horizon) == ("prometheus", api.base_url, None)
    gone = init(folder, "--print", "--prometheus", "http://127.0.0.1:1")
    assert parse_config(gone.output).sources[0].base_url == "http://127.0.0.1:1"


def test_a_rate_holds_from_the_first_day_that_a_prometheus_has_kept_of_a_host(folder: Path) -> None:
    """B6: its last day is looked at, and the first run brings days before that one, which cost as much. A host that
    came later costs from when it came."""
    old, new = GpuSeries("GPU-1"), GpuSeries("GPU-2", hostname="node-2", instance="10.0.9.2:9400")
    kept = [
        *Fleet(start=NOW - timedelta(days=20), stop=NOW, gpus=[old], every_ms=900_000).series(),
        *Fleet(start=NOW - timedelta(days=4), stop=NOW, gpus=[new], every_ms=900_000).series(),
    ]
    with serving(PrometheusApi(series=kept)) as api:
        done = init(folder, "--prometheus", api.base_url, "--gpu-hour", "2.69")
    assert done.exit_code == 0, done.output
    found = load_config(folder / "breakeven.yaml").gpu_resources
    assert {one.host: one.valid_from.isoformat() for one in found} == {"node-1": "2026-10-16", "node-2": "2026-11-01"}


def test_an_aws_account_and_a_kubernetes_context_are_asked_what_they_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its exports and the deployments that Kubernetes alone knows of are proposals: taken, the file is one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRETS[1])
    exports = {"hourly": ("billing", "exports", "SELECT a FROM COST_AND_USAGE_REPORT")}
    chat = ("ReplicaSet", "support-chat-7c9d8f6b5")
    pods = [
        pod(f"support-chat-{n}", gpus=2, node="n-1", owner=chat, args=["--served-model-name", "org/Chat-8B"])
        for n in "ab"
    ]
    kube = tmp_path / "home" / ".kube" / "config"
    kube.parent.mkdir(parents=True)
    with serving(KubeApi(nodes=[node("n-1", 8)], pods=pods)) as api, aws(exports) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        # As clouds write it: signed in by a program, which is run because it was agreed to.
        said = {"kind": "ExecCredential", "apiVersion": KUBE_EXEC, "status": {"token": KUBE_TOKEN}}
        signs_in = {"apiVersion": KUBE_EXEC, "command": "echo", "args": [json.dumps(said)]}
        kube.write_text(yaml.safe_dump({**api.kubeconfig, "users": [{"name": "u", "user": {"exec": signs_in}}]}))
        unasked = init(folder, "--print")
        done = init(folder, "--kube-sign-in")
    assert "support-chat" not in unasked.output
    assert done.exit_code == 0, done.output
    for words in (
        "account 123456789012; Data Exports: hourly at s3://billing/exports/hourly (aws_cur2)",
        "8 GPUs on nodes n-1 (8 x NVIDIA-H100-80GB-HBM3)",
        "GPUs are asked for by llm/support-chat (2 x 2 GPUs, serves org/Chat-8B)",
    ):
        assert words in done.output
    config = parse_config(re.sub(r"^# ( *- \{|sources:|deployments:)", r"\1", written(folder), flags=re.MULTILINE))
    (source,), (deployment,) = config.sources, config.deployments
    assert (source.source, source.settings) == ("aws_cur2", {"export": "s3://billing/exports/hourly"})
    assert (deployment.deployment, deployment.gpus_per_replica, deployment.hosts) == ("support-chat", 2, ("n-1",))
    assert "asks for 4 GPUs, as Kubernetes says" in written(folder)
    # Nobody answers any more: that is said, and the rest goes on.
    gone = init(folder, "--print")
    assert gone.exit_code == 0
    everything = done.output + gone.output + written(folder)
    assert [secret for secret in (*SECRETS, KUBE_TOKEN) if secret in everything] == []


def test_a_rate_gives_hosts_that_were_seen_a_cost_at_once(folder: Path) -> None:
    (folder / "spool").mkdir(parents=True)
    (folder / "spool" / "x.jsonl").write_bytes(spool_file("2026-11-04", samples=144))
    done = init(folder, "--gpu-hour", "2.69")
    assert done.exit_code == 0, done.output
    config = load_config(folder / "breakeven.yaml")
    (resource,) = config.gpu_resources
    assert (resource.host, resource.gpu_count, resource.contract_rate_per_gpu_hour) == ("host-1", 1, Decimal("2.69"))
    assert "nothing says what they cost" not in done.output
    for wrong in ("lots", "-1", "NaN"):
        refused = init(folder, "--print", "--gpu-hour", wrong)
        assert refused.exit_code == 2
        assert "is not an amount" in refused.output


@pytest.mark.parametrize(
    "content",
    [
        "Rechnung;Art;Server;Betrag;Währung;Von;Bis\n1;GPU-Server;n1;1.535,68;EUR;01.10.2026;31.10.2026\n",
        "Invoice,Date,Description,Amount,Currency\nA-1,2026-10-05,8x H100,100.00,USD\nA-1,,Total,100.00,USD\n",
        "invoice_id,resource_id,gpus,qty,rate,charge,ccy,start,end\nA,i-1,8,10,2.5,25,USD,2026-10-01,2026-10-02\n",
    ],
)
def test_a_mapping_that_is_guessed_is_one_the_reader_takes(content: str) -> None:
    settings = guess_settings(content.encode())
    text = yaml_text(
        "acme", [Entry({"source": "invoice_csv", "account": "x", "settings": settings})], Proposals(), today=date.min
    )
    config = parse_config(text)
    check_sources(config)
    assert config.sources[0].settings == settings


def test_where_no_mapping_fits_none_is_guessed() -> None:
    for content in (b"", b"a,b\n1,2\n", b"what,amount\nsomething,lots\n", b"Amount,Date\n1.00,someday\n", b"\xff\xfe"):
        assert guess_settings(content) is None


def test_links_and_hidden_files_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.csv").write_bytes(three_days("1", "2", "3"))
    inside = tmp_path / "inside"
    (inside / ".git").mkdir(parents=True)
    (inside / ".git" / "y.csv").write_bytes(three_days("1", "2", "3"))
    (inside / "link").symlink_to(outside)
    (inside / "x.csv").symlink_to(outside / "x.csv")
    found = discover(inside, environment={"HOME": str(tmp_path)}, prometheus=None, now=NOW, seconds=None)
    assert (found.files, found.others) == ((), ())
