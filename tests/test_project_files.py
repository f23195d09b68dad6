"""The files that only services and editors read: each parses, and says what the project's own files say."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import archipec

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
YAML = [*WORKFLOWS, *FORMS, ROOT / ".github/dependabot.yml", ROOT / ".pre-commit-config.yaml"]
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

posix_only = pytest.mark.skipif(os.name != "posix", reason="runs a shell script")


def read(path: str | Path) -> Any:
    """Return what a YAML file holds; GitHub's ``on`` is no truth value."""
    found = yaml.safe_load((ROOT / path).read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in found.items()}


def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def commands(job: Any) -> list[str]:
    """Return what a job runs."""
    return [step["run"].strip() for step in job["steps"] if "run" in step]


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile, as typed in an activated virtual environment."""
    text = (ROOT / "Makefile").read_text("utf-8")
    match = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert match is not None, target
    packages = re.search(r"^PACKAGES = (.*)$", text, re.MULTILINE)
    assert packages is not None
    lines = match[1].replace("$(PACKAGES)", packages[1]).replace("$(BIN)/", "").splitlines()
    return [line.strip() for line in lines]


def pythons() -> list[str]:
    """Return the versions of Python that the package says it runs on."""
    found = [one.rpartition(" ")[2] for one in project()["classifiers"] if "Python :: 3." in one]
    assert len(found) > 1
    return found


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_they_are_yaml(path: Path) -> None:
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_run_what_is_pinned(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow["on"]
    assert workflow["concurrency"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 40, name
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "what GitHub puts into a script is run"
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    used = [
        line.strip().removeprefix("- ") for line in path.read_text("utf-8").splitlines() if "uses:" in line
    ]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_ci_runs_every_python_that_the_package_names() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    for job in jobs.values():
        assert job["strategy"]["matrix"]["python"] == pythons()
        assert job["strategy"]["fail-fast"] is False
    assert project()["requires-python"] == f">={pythons()[0]}"


def test_ci_runs_every_system_that_the_package_names() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    systems = {
        one.rpartition(" ")[2] for one in project()["classifiers"] if one.startswith("Operating System")
    }
    runners = {jobs["linux"]["runs-on"], *jobs["others"]["strategy"]["matrix"]["os"]}
    named = {"macos": "MacOS", "windows": "Windows", "ubuntu": "Linux"}
    assert systems == {named[runner.partition("-")[0]] for runner in runners}


def test_on_linux_ci_runs_what_everybody_runs() -> None:
    assert commands(read(".github/workflows/ci.yml")["jobs"]["linux"]) == [".ci/run"]
    script = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    assert script[-3:] == ["export ARCHIPEC_REQUIRE_REAL=1", "make check", "make test"]


def test_on_other_systems_ci_runs_the_commands_of_the_makefile() -> None:
    ran = commands(read(".github/workflows/ci.yml")["jobs"]["others"])
    (install, _touch), (_servers, tests) = recipe("$(VENV)/developing"), recipe("test")
    assert install in ran
    assert f"{tests} -m 'not real'" in ran
    assert "python -Im archipec demo" in ran


def test_the_packages_are_checked_for_every_system() -> None:
    checks = recipe("check")
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"][
        "dev-mode-dirs"
    ]
    for platform in ("win32", "darwin"):
        caching = f"--platform {platform} --cache-dir .mypy_cache/{platform}"
        assert f"mypy {caching} {' '.join(folders)}" in checks


def test_pre_commit_runs_what_make_check_runs() -> None:
    (local,) = [one for one in read(".pre-commit-config.yaml")["repos"] if one["repo"] == "local"]
    entries = [
        hook["entry"].replace("--force-exclude", "").replace(".venv/bin/", "") for hook in local["hooks"]
    ]
    assert {" ".join(entry.split()) for entry in entries} <= set(recipe("check"))
    ids = {hook["id"] for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]}
    assert ids >= {"ruff", "ruff-format", "mypy", "architecture", "end-of-file-fixer", "detect-private-key"}


@posix_only
@pytest.mark.parametrize(("tag", "code"), [(f"v{archipec.__version__}", 0), ("v9.9.9", 1), ("x", 1)])
def test_a_release_whose_tag_is_not_the_version_is_refused(tag: str, code: int) -> None:
    jobs = read(".github/workflows/release.yml")["jobs"]
    (step,) = [step for step in jobs["build"]["steps"] if "TAG" in step.get("env", {})]
    command = ["bash", "-e", "-c", step["run"]]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TAG": tag}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert not code or f"the tag is {tag}, the version {archipec.__version__}" in done.stderr


def test_a_release_is_attested_and_published_without_a_password() -> None:
    workflow = read(".github/workflows/release.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert any("attest-build-provenance" in step.get("uses", "") for step in build["steps"])
    assert "python -m hatchling build" in commands(build)
    assert (publish["needs"], publish["environment"]) == ("build", "pypi")
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text("utf-8")


@pytest.mark.parametrize(
    "path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name
)
def test_forms_ask_for_no_real_mail(path: Path) -> None:
    form = read(path)
    assert form["name"] and form["description"]
    names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(names) == len(set(names))
    text = path.read_text("utf-8").lower()
    assert "no real mail" in text or "real mail of yours" in text


def test_a_bug_report_has_what_is_needed() -> None:
    fields = {field.get("id"): field for field in read(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    for name in ("version", "provider", "output", "command", "happened"):
        assert fields[name]["validations"]["required"] is True
    assert fields["version"]["attributes"]["label"] == "archipec --version"
    assert "--json" in fields["output"]["attributes"]["label"]


def test_dependencies_are_kept_up_to_date() -> None:
    updates = read(".github/dependabot.yml")["updates"]
    assert {one["package-ecosystem"] for one in updates} == {"pip", "github-actions"}
    for one in updates:
        assert one["schedule"] == {"interval": "weekly"}
        assert one["groups"]
