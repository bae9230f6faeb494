"""Delivery: the image, the workflow, the health check script and the bill of materials."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from app.core.settings import ROOT
from tests.support.workspace import run_folder, worker_name

SMOKE = ROOT / "ops" / "smoke.py"
NO_INDEX = re.compile("No matching distribution|connection|Could not find a version", re.IGNORECASE)


def smoke(url, *arguments, **environment):
    run = subprocess.run(
        [sys.executable, SMOKE, url, *arguments],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


# ── the image: without a container engine, a folder is built by the Dockerfile's steps ──


class Image:
    """A folder in which the steps of a Dockerfile are run as they are written, its absolute paths inside of it.

    Python of the base image is the one that runs the tests; `useradd` makes the home and no user.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.stages, self.command, self.health = root, {}, [], []
        self.arguments = {"RELEASE": "1.2.3"}
        self._begin()
        for line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines():
            if line and not line.startswith("#"):
                instruction, _, rest = line.partition(" ")
                getattr(self, f"do_{instruction.lower()}")(rest.strip())

    def _begin(self) -> None:
        self.folder, self.environment = self.root, {"PATH": "/bin:/usr/bin"}
        shims = self.root / "bin"
        shims.mkdir(parents=True)
        (shims / "python").symlink_to(sys.executable)
        (shims / "useradd").write_text(
            '#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" != --home-dir ] || mkdir -p "$2"; shift; done\n'
        )
        (shims / "useradd").chmod(0o755)

    def inside(self, text: str) -> str:
        return re.sub(r"(?<![\w./])/(?=(srv|var|bin)\b)", f"{self.root}/", text)

    def variables(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "HOME"}
        own = {name: self.inside(value) for name, value in self.environment.items()}
        return inherited | own | {"PATH": f"{own['PATH']}:{self.root}/bin:/usr/bin:/bin"} | more

    def do_from(self, rest: str) -> None:
        if self.root.joinpath("srv").exists():  # A later stage refers to the earlier one by name.
            self.root.rename(self.stages["build"])
            self._begin()
        if " AS " in rest:
            name = rest.partition(" AS ")[2]
            self.stages[name] = self.root.with_name(f"{self.root.name}-{name}")

    def do_workdir(self, rest: str) -> None:
        self.folder = Path(self.inside(rest))
        self.folder.mkdir(parents=True)

    def do_copy(self, rest: str) -> None:
        *sources, target = rest.split()
        origin = ROOT
        if sources[0].startswith("--from="):
            origin = self.stages[sources.pop(0).removeprefix("--from=")]
        else:
            allowed = (ROOT / ".dockerignore").read_text().splitlines()
            assert not [source for source in sources if f"!{source}" not in allowed]
        for source in sources:
            source_path = origin / source.lstrip("/")
            place = Path(self.inside(target)) if target.startswith("/") else self.folder / target
            if source_path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.py[cod]")
                shutil.copytree(
                    source_path, place, dirs_exist_ok=True, symlinks=True, ignore=ignored if origin == ROOT else None
                )
            else:
                shutil.copy2(source_path, place)

    def do_run(self, rest: str) -> None:
        run = subprocess.run(
            self.inside(rest),
            shell=True,
            cwd=self.folder,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        if run.returncode and "CI" not in os.environ and NO_INDEX.search(run.stderr):
            pytest.skip("no package index can be reached")
        assert run.returncode == 0, run.stderr

    def do_arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self.arguments.setdefault(name, value.strip('"'))

    def do_label(self, rest: str) -> None:
        assert all("=" in pair for pair in shlex.split(rest))

    def do_env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            for variable, text in {**self.environment, **self.arguments}.items():
                value = value.replace(f"${variable}", text)
            self.environment[name] = value

    def do_user(self, rest: str) -> None:
        assert rest.isdigit()

    def do_expose(self, rest: str) -> None:
        assert rest == "8000"

    def do_healthcheck(self, rest: str) -> None:
        self.health = json.loads(rest.removeprefix("CMD "))

    def do_cmd(self, rest: str) -> None:
        self.command = json.loads(rest)

    def run(self, command, **environment):
        return subprocess.run(
            command, cwd=self.folder, env=self.variables(**environment), capture_output=True, text=True, timeout=120
        )

    @contextmanager
    def started(self, command, **environment):
        with subprocess.Popen(command, cwd=self.folder, env=self.variables(**environment)) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture(scope="module")
def image():
    root = run_folder() / f"image-{worker_name()}"
    yield Image(root / "root")
    shutil.rmtree(root)


@pytest.fixture
def port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.slow
@pytest.mark.deep
def test_image_serves_in_production_with_its_command(image, port):
    settings = {"SECRET_KEY": "k" * 10 + worker_name() + os.urandom(24).hex(), "BASE_URL": f"http://127.0.0.1:{port}"}
    settings |= {"PORT": str(port), "HOST": "127.0.0.1", "TRUSTED_PROXIES": "1", "MAIL_URL": "smtp://127.0.0.1:1"}
    assert image.run(["flask", "db", "upgrade"], **settings).returncode == 0
    with image.started(image.command, **settings) as process:
        deadline = time.monotonic() + 60
        while (
            (health := image.run(image.health, **settings)).returncode
            and time.monotonic() < deadline
            and process.poll() is None
        ):
            time.sleep(0.2)
        assert health.returncode == 0, health.stderr


@pytest.mark.slow
@pytest.mark.deep
def test_image_passes_its_health_check(image, port):
    url = f"http://127.0.0.1:{port}"
    settings = {"ENVIRONMENT": "development", "BASE_URL": url, "PORT": str(port), "HOST": "127.0.0.1"}
    password = "a quieter harbour"
    with image.started(["python", "run.py"], **settings):
        code, output = smoke(url + "/", "--wait", "60")
        assert (code, output.splitlines()[-1]) == (0, f"{url} serves as it should."), output
        create = ["flask", "users", "create", "smoke@example.com", "--name", "Smoke", "--password-stdin"]
        process = subprocess.run(
            create, input=password, cwd=image.folder, env=image.variables(**settings), capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        code, output = smoke(url, SMOKE_EMAIL="smoke@example.com", SMOKE_PASSWORD=password)
        assert (code, "ok      An account signs in and out" in output) == (0, True), output
        code, output = smoke(url, SMOKE_EMAIL="smoke@example.com", SMOKE_PASSWORD="another")
        assert (code, "Wrong email address or password" in output) == (1, True), output
        code, output = smoke(f"http://localhost:{port}")
        assert (code, f"links in mails lead to {url}" in output) == (1, True), output


def test_health_check_without_a_server_prints_one_sentence(port):
    code, output = smoke(f"http://127.0.0.1:{port}")
    assert (code, output.count("FAILED"), "Traceback" in output) == (1, 1, False)
    assert "does not answer" in output
    assert smoke("accounts.example.com")[0] == 2


def test_dockerfile_passes_the_linter():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("there is no hadolint for this machine")
    checked = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")


# ── files for other systems ──


def test_workflows_run_existing_targets_and_pin_their_actions():
    workflows = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github/workflows").glob("*.yml")}
    steps = [step for workflow in workflows.values() for job in workflow["jobs"].values() for step in job["steps"]]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {target for step in steps for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert used == {"check", "coverage", "sbom", "smoke", "test", "test-deep", "test-features"}
    assert used <= targets
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in workflows.values())
    assert workflows["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    # Expressions reach scripts as environment variables only, so that a branch name cannot be a command.
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


def test_hooks_run_installed_tools():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        name = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert Path(sys.executable).with_name(name).exists()


@pytest.mark.databases("sqlite")
def test_compose_file_runs_existing_commands(flask):
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    commands = {
        name: part["command"].split()[1:] for name, part in services.items() if "flask" in part.get("command", "")
    }
    assert commands == {"migrate": ["db", "upgrade"], "worker": ["jobs", "worker"]}
    for words in commands.values():
        assert flask(*words, "--help").exit_code == 0
    for name, part in services.items():
        assert set(part["profiles"]) == ({"staging"} if name == "mailbox" else {"production", "staging"})
    # Web and worker start after the migration.
    for name in ("web", "worker"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_compose_file_is_hardened():
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = whole["services"]
    for name, part in services.items():
        assert part["read_only"] is True, name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert part["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert part["restart"] == ("on-failure" if name == "migrate" else "unless-stopped"), name
        # Passwords are no process arguments, and each service has only its own.
        assert "PASSWORD" not in part.get("command", "") + str(part.get("healthcheck", "")), name
        is_ours = "env_file" in part
        if is_ours:
            assert part["environment"]["POSTGRES_PASSWORD"] == part["environment"]["VALKEY_PASSWORD"] == "", name
            assert (part["environment"]["HOST"], part["environment"]["PORT"]) == ("0.0.0.0", "8000"), name
            assert part["volumes"] == ["instance:/var/lib/gatehouse"], name
            assert int(part["stop_grace_period"].removesuffix("s")) > gunicorn_grace(), name
        else:
            assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", part["image"]), name
        for port in part.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    assert {volume.partition(":")[0] for part in services.values() for volume in part.get("volumes", [])} == {
        *whole["volumes"]
    }


def gunicorn_grace():
    return int(re.search(r"^graceful_timeout = (\d+)$", (ROOT / "gunicorn.conf.py").read_text(), re.MULTILINE)[1])


def test_image_is_pinned_labelled_and_precompiled(image):
    for base in re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w-]+", base)
    assert image.environment["RELEASE"] == "1.2.3"
    assert list((image.folder / "app" / "__pycache__").glob("settings.*.pyc"))
    assert (Path(image.inside("/var/lib/gatehouse")) / "backups").is_dir()


def test_bill_of_materials_names_every_installed_pin():
    printed = subprocess.run(
        [sys.executable, ROOT / ".ci" / "sbom.py"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    bill = json.loads(printed)
    pins = re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;\\]+) (;?)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert bill["specVersion"] == "1.6"
    named = {(part["name"], part["version"]) for part in bill["components"]}
    assert named <= {(name, version) for name, version, _ in pins}
    assert named >= {(name, version) for name, version, marker in pins if not marker}
    licensed = {part["name"] for part in bill["components"] if part.get("licenses")}
    assert {"flask", "sqlalchemy", "argon2-cffi"} <= licensed
    (flask,) = [
        dependency["dependsOn"] for dependency in bill["dependencies"] if dependency["ref"].startswith("flask==")
    ]
    assert any(pin.startswith("werkzeug==") for pin in flask)
