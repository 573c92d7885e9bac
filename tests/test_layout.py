"""Where the code lives, what importing it costs, and what a wheel of it holds."""

import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("evalkit", "generators", "studies", "reports")
ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "numpy", "scipy", "torch", "pandas", "matplotlib", "symusic", "pretty_midi", "music21", "rich", "jinja2",
    "streamlit", "sqlalchemy",
)  # fmt: skip


def imported_by(arguments, cwd):
    """Which of HEAVY the command ``evalkit ARGUMENTS`` imports."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', *(m for m in {HEAVY!r} if m in sys.modules)))\n"
        f"from evalkit.cli import main; main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_four_packages_lie_in_one_folder():
    """``generators`` and ``reports`` also exist on PyPI; installed beside ours they would take its place."""
    parents = {name: Path(importlib.import_module(name).__file__).parent.parent for name in PACKAGES}
    assert set(parents.values()) == {ROOT}, f"another package has taken a name: {parents}; reinstall in a clean venv"


def test_tests_are_flat():
    """A ``tests/evalkit/__init__.py`` would hide the real package from pytest."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_help_imports_nothing_heavy(tmp_path):
    assert imported_by(["--help"], tmp_path) == []


def test_a_generator_without_a_network_needs_no_torch(tmp_path):
    loaded = imported_by(["generators", "sample", "uniform", "--n", "1", "--out", str(tmp_path / "made")], tmp_path)
    assert "numpy" in loaded  # the probe sees what is imported
    assert not {"torch", "pandas", "music21", "streamlit", "sqlalchemy"} & set(loaded)


def test_help_of_a_command_is_light(tmp_path):
    for command in ("generators", "study", "run", "report"):
        loaded = imported_by([command, "--help"], tmp_path)
        assert not {"torch", "scipy", "matplotlib", "pandas", "music21", "streamlit", "sqlalchemy"} & set(loaded)


def test_the_console_script_works_outside_the_checkout(tmp_path):
    script = shutil.which("evalkit", path=str(Path(sys.executable).parent))
    assert script, "the package is not installed here: pip install -e ."
    done = subprocess.run([script, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: evalkit")


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory):
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling (pip install hatchling)")
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_checkout(pattern):
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("pattern", ["*.py", "py.typed", "*.yaml", "templates/*", "zoo/*", "*.css", "*.js"])
def test_a_wheel_holds_everything_that_the_packages_need(wheel_files, pattern):
    assert in_checkout(pattern) <= wheel_files


def test_a_wheel_holds_the_packages_and_nothing_else(wheel_files):
    tops = {name.split("/")[0] for name in wheel_files}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= wheel_files


@pytest.mark.parametrize("folder", ["evalkit/bench/suites", "reports/published"])
def test_a_wheel_holds_the_data_of(wheel_files, folder):
    assert any(name.startswith(f"{folder}/") and name.endswith(".yaml") for name in wheel_files)


def test_a_wheel_holds_the_templates_of_the_reports(wheel_files):
    assert any(name.startswith("reports/templates/") for name in wheel_files)


def test_help_is_quick(tmp_path):
    """A user waits for nothing: under half a second of processor time (wall time depends on the neighbours)."""
    code = (
        "import time\nfrom evalkit.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert float(done.stdout.split()[-1]) < 0.5
