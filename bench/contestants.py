"""Start and stop what is measured. All of it listens on loopback and keeps its data in one temporary folder."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import processes
from tests.e2e.certificates import Certificates, make_certificates
from tests.e2e.servers import RIVAL, Server, start_docker_registry, start_node

NGINX = """
daemon off;
user root;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a part is given."""

    folder: Path
    certificates: Certificates

    @contextmanager
    def entrepot(self, *, tls: bool = False) -> Iterator[Server]:
        """Run a node with an empty store."""
        with self._server("entrepot", tls=tls) as server:
            yield server

    @contextmanager
    def docker_registry(self, *, tls: bool = False) -> Iterator[Server]:
        """Run an empty docker-registry."""
        with self._server("docker-registry", tls=tls) as server:
            yield server

    @contextmanager
    def both(self, *, tls: bool = False) -> Iterator[dict[str, Server]]:
        """Run the two side by side: name -> server."""
        with self.entrepot(tls=tls) as ours, self.docker_registry(tls=tls) as theirs:
            yield {"entrepot": ours, "docker-registry": theirs}

    @contextmanager
    def nginx(self, data: bytes) -> Iterator[Server]:
        """Run nginx with *data* at ``/blob``."""
        folder, port = self.folder / "nginx", processes.free_port()
        (folder / "files").mkdir(parents=True)
        (folder / "files/blob").write_bytes(data)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        command: list[str | Path] = ["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"]
        environment = processes.environment()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            process = stack.enter_context(
                processes.running(
                    command, log=folder / "log", ready=lambda: processes.accepts(port), environment=environment
                )
            )
            yield Server("127.0.0.1", port, process, folder / "log", folder, None)

    @contextmanager
    def _server(self, name: str, *, tls: bool) -> Iterator[Server]:
        data = self.folder / f"{name}{'-tls' if tls else ''}"
        start = start_node if name == "entrepot" and not RIVAL else start_docker_registry
        server = start(data, port=processes.free_port(), certificates=self.certificates if tls else None)
        try:
            yield server
        finally:
            processes.stop(server.process)
            shutil.rmtree(data)


def make_bench(folder: Path) -> Bench:
    """Return a bench that works below *folder*."""
    return Bench(folder, make_certificates(folder / "certificates"))
