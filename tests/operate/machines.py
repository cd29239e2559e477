"""Two machines' worth of our processes, and nginx before their APIs, set up as docs/operating.md says."""

import re
import shutil
import signal

import httpx

from cli.launcher import lineup, processes
from tests.operate.installation import CHAT, ECHO, MACHINES, Installation, answers
from tests.support import waiting
from tests.support.platform import ROOT, free_port

NGINX = "nginx"
_SHOWN = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
# What Debian's own nginx.conf has around the files of conf.d.
_AROUND = """daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 768; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{shown}
}}
"""


def start(installation: Installation) -> str:
    """Starts an API, a control worker and a worker of each model as on two machines, and nginx where it is."""
    models = (ECHO,) if installation.short else (ECHO, CHAT)
    for machine in MACHINES:
        api = installation.api(machine)
        installation.serve(api, *(installation.worker(machine, model) for model in (lineup.CONTROL, *models)))
    ports = [installation.ports[f"{lineup.API}-{machine}"] for machine in MACHINES]
    installation.addresses = [f"http://127.0.0.1:{port}" for port in ports]
    before = _nginx(installation, ports)
    installation.address = before or installation.addresses[0]
    everywhere = {model: len(MACHINES) for model in (lineup.CONTROL, *models)}
    waiting.until(lambda: _counted(installation.address).items() >= everywhere.items())
    return f"{len(MACHINES)} machines of {len(models) + 2} processes, " + (
        "behind nginx as docs/operating.md shows it" if before else "without nginx, which isn't here"
    )


def _counted(address: str) -> dict[str, int]:
    """The living workers of each model."""
    return dict(httpx.get(f"{address}/readyz", timeout=5).json()["parts"]["workers"])


def _nginx(installation: Installation, ports: list[int]) -> str | None:
    """Where nginx listens that was started before these ports; None where there is none."""
    program = shutil.which(NGINX) or shutil.which(NGINX, path="/usr/sbin")
    if program is None:
        return None
    port = installation.ports[NGINX] = free_port()
    file = installation.folder / "nginx.conf"
    file.write_text(_AROUND.format(folder=installation.folder, shown=shown(ports, port)))
    spec = processes.Spec(
        NGINX,
        (program, "-p", str(installation.folder), "-c", str(file)),
        installation.env,
        installation.folder,
        stop_signal=signal.SIGQUIT,
    )
    address = f"http://127.0.0.1:{port}"
    installation.start(spec, lambda: answers(f"{address}/healthz"))
    return address


def shown(ports: list[int], port: int) -> str:
    """The configuration that docs/operating.md shows, with these ports of APIs and this port of nginx."""
    [text] = _SHOWN.findall((ROOT / "docs" / "operating.md").read_text())
    for documented, real in zip(("127.0.0.1:8000", "127.0.0.1:8001"), ports, strict=True):
        assert documented in text
        text = text.replace(documented, f"127.0.0.1:{real}")
    text, replaced = re.subn(r"listen 80;", f"listen 127.0.0.1:{port};", text)
    assert replaced == 1
    return text
