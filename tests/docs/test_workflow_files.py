"""The YAML on the pages passes the schema of whatever reads it: GitHub, GitLab, Azure Pipelines, Compose.

A page may show a part of a file; the part is put where it belongs, as a reader would do it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "plugin-docs").rglob("*.md")])
WHOLE = ("github-actions.md", "gitlab-ci.md")  # nothing has to be added to what stands there
SCHEMAS = ("azure-pipelines", "compose-spec", "github-workflows", "gitlab-ci")
OF_OTHERS = {"groups", "repos", "spec", "volumes"}  # Prometheus, pre-commit, Kubernetes: there is no schema at hand
JOB = "runs-on: ubuntu-latest\n"
NO_STEPS = "steps: [{ run: 'true' }]\n"


def blocks(page: Path) -> list[str]:
    found = re.findall(r"^```ya?ml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


def complete(block: str) -> tuple[str, str]:
    """Return the name of the schema, "" for none, and the file of which the block is all or a part."""
    document = yaml.safe_load(block)
    if isinstance(document, list):
        return complete(f"steps:\n{indent(block, '  ')}")
    keys = {"on" if key is True else key for key in document}
    if keys <= OF_OTHERS:
        return "", block
    if "services" in keys:
        return "compose-spec", block
    if "$(System." in block:
        return "azure-pipelines", block if "steps" in keys else f"steps:\n  - script: 'true'\n{indent(block, '    ')}"
    if "jobs" in keys or keys <= {"env", "permissions", "steps"}:
        return "github-workflows", as_workflow(block, keys)
    return "gitlab-ci", f"job:\n  script: ['true']\n{indent(block, '  ')}" if keys == {"id_tokens"} else block


def as_workflow(block: str, keys: set[str]) -> str:
    if "jobs" in keys:
        return block if "on" in keys else f"on: push\n{block}"
    return in_job(JOB + block + ("" if "steps" in keys else NO_STEPS))


def in_job(text: str) -> str:
    return f"on: push\njobs:\n  job:\n{indent(text, '    ')}"


def check(schema: str, files: list[Path]) -> subprocess.CompletedProcess[str]:
    # Not every release for every Python takes Azure's patterns as they are meant by default.
    options = ["--regex-variant", "nonunicode", "--builtin-schema", f"vendor.{schema}"]
    argv = [sys.executable, "-m", "check_jsonschema", *options, *map(str, files)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_file_on_the_pages_passes_its_schema(schema: str, tmp_path: Path) -> None:
    files = []
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            name, text = complete(block)
            if name == schema:
                files.append(tmp_path / f"{page.stem}-{number}.yml")
                files[-1].write_text(text, encoding="utf-8")
    assert files
    done = check(schema, files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("github-workflows", in_job(f"{JOB}permission: {{}}\n{NO_STEPS}")),
        ("github-workflows", in_job(f"{JOB}permissions: {{ id-tokens: write }}\n{NO_STEPS}")),
        ("gitlab-ci", "job:\n  script: ['true']\n  id_tokens: { TOKEN: { audience: x } }\n"),
        ("azure-pipelines", "steps:\n  - scripts: 'true'\n"),
        ("compose-spec", "services: { app: { secret: [netrc] } }\n"),
    ],
    ids=["github-key", "github-permission", "gitlab-token", "azure-step", "compose-key"],
)
def test_a_mistake_is_noticed(schema: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text(text, encoding="utf-8")
    assert check(schema, [file]).returncode == 1


@pytest.mark.parametrize("name", WHOLE)
def test_the_files_for_github_and_gitlab_are_whole_and_need_no_stored_secret(name: str) -> None:
    found = blocks(ROOT / "plugin-docs/how-to" / name)
    assert found
    for block in found:
        assert complete(block)[1] == block
        assert "secrets." not in block
        assert "id-token: write" in block or "id_tokens:" in block


@pytest.mark.parametrize("name", WHOLE)
def test_the_job_that_runs_build_code_cannot_prove_who_it_is(name: str) -> None:
    building = []
    for block in blocks(ROOT / "plugin-docs/how-to" / name):
        document = yaml.safe_load(block)
        building += [job for key, job in document.get("jobs", document).items() if key == "build"]
    assert building
    assert not [job for job in building if "id_tokens" in job or "id-token" in job.get("permissions", {})]
