"""The wheel installs into an empty environment, and the demo works there; so do all first hours, tests/first_hour."""

import subprocess
import zipfile

from tests.check.vllm_server import vllm_body
from tests.pipeline.small_project import three_days


def test_the_wheel_carries_the_sql_the_models_and_the_templates(wheel_environment):
    (wheel,) = (wheel_environment.parent / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "pipeline/_bundled/dbt_like_models/marts/fct_unit_costs_daily.sql",
        "pipeline/_bundled/dbt_like_models/seeds/model_aliases.csv",
        "pipeline/_bundled/sql/checks/gpu_time_conserved.sql",
        "pipeline/_bundled/sql/reports/unit_costs.sql",
        "pipeline/_bundled/sql/bills/api.sql",
    ):
        assert needed in names
    assert any(name.startswith("pipeline/reports/templates/") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_wheel_installs_and_runs_the_demo_outside_the_checkout(wheel_environment, demo_folder, tmp_path):
    printed = (demo_folder.parent / "printed").read_text()
    for words in ("What a million tokens really cost", "What idle GPUs cost", "support-chat", "laws held"):
        assert words in printed
    assert (demo_folder / ".breakeven" / "reports" / "2026-10.html").exists()
    where = [str(wheel_environment / "bin" / "python"), "-c", "import pipeline; print(pipeline.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(wheel_environment) in found.stdout


def test_the_installed_wheel_checks_a_bill_and_an_engine_in_an_empty_folder(wheel_environment, tmp_path):
    """The first five minutes: nothing but the wheel, no project, nothing left behind."""
    (tmp_path / "bill.csv").write_bytes(three_days("1.00", "2.00", "3.00"))
    (tmp_path / "a.prom").write_text(vllm_body(prompt=100, output=10))
    (tmp_path / "b.prom").write_text(vllm_body(prompt=900_100, output=100_010))
    before = sorted(path.name for path in tmp_path.iterdir())
    program = str(wheel_environment / "bin" / "breakeven")

    def check(*arguments: str) -> str:
        done = subprocess.run([program, "check", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert "total $6.00" in check("--bill", "bill.csv")
    # A GPU-hour of $3.60 for a million tokens in an hour.
    assert "$3.6000" in check("--scrapes", "a.prom", "b.prom", "--seconds", "1h", "--gpu-hour", "3.60", "--gpus", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
