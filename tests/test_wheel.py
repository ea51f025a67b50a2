"""The wheel installs into an empty environment, and the demo works there."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.check.vllm_server import vllm_body
from tests.pipeline.small_project import three_days

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_carries_the_sql_the_models_and_the_templates(wheel):
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


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new virtual environment with the wheel installed in it.

    Nothing is downloaded: the dependencies are those of this environment, seen through a path; the package itself is
    the wheel's, since a checkout installed in editable mode is reached by a `.pth` that such a path does not follow.
    """
    folder = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def test_the_wheel_installs_and_runs_the_demo_outside_the_checkout(environment, tmp_path):
    done = subprocess.run(
        [str(environment / "bin" / "breakeven"), "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("What a million tokens really cost", "What idle GPUs cost", "support-chat", "laws held"):
        assert words in done.stdout
    assert (tmp_path / "demo" / ".breakeven" / "reports" / "2026-10.html").exists()
    where = [str(environment / "bin" / "python"), "-c", "import pipeline; print(pipeline.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(environment) in found.stdout


def test_the_installed_wheel_checks_a_bill_and_an_engine_in_an_empty_folder(environment, tmp_path):
    """The first five minutes: nothing but the wheel, no project, nothing left behind."""
    (tmp_path / "bill.csv").write_bytes(three_days("1.00", "2.00", "3.00"))
    (tmp_path / "a.prom").write_text(vllm_body(prompt=100, output=10))
    (tmp_path / "b.prom").write_text(vllm_body(prompt=900_100, output=100_010))
    before = sorted(path.name for path in tmp_path.iterdir())
    program = str(environment / "bin" / "breakeven")

    def check(*arguments: str) -> str:
        done = subprocess.run([program, "check", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert "total $6.00" in check("--bill", "bill.csv")
    # A GPU-hour of $3.60 for a million tokens in an hour.
    assert "$3.6000" in check("--scrapes", "a.prom", "b.prom", "--seconds", "1h", "--gpu-hour", "3.60", "--gpus", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_installed_wheel_begins_a_project_in_an_empty_folder(environment, tmp_path):
    """The first hour's first step: an export is found by its content, read once, and named in a breakeven.yaml."""
    (tmp_path / "bill.csv").write_bytes(three_days("1.00", "2.00", "3.00"))
    done = subprocess.run(
        [str(environment / "bin" / "breakeven"), "init", "--offline", "--as-of", "2026-11-05"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "anthropic, account main: $6.00" in done.stdout
    assert "source: anthropic_console_csv" in (tmp_path / "breakeven.yaml").read_text()
