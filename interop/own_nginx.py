"""nginx in front of the broker: started by the case with a configuration of its own, in the case's folder, and not as a service."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

from cases import PATIENCE_S, Skip, eventually, expect

STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

CONFIG = """
{modules}
daemon off;
master_process on;
worker_processes 1;
pid {folder}/pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
{stream}
"""


class OwnNginx:
    """A running nginx; inside `with`. Its ports are chosen by the system and handed to it open, as it hands them to a
    successor when its program is replaced, so that nobody else can take them meanwhile."""

    def __init__(self, ports: int, http="", stream=""):
        if shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
            raise Skip("nginx is not installed (package nginx-light)")
        if stream and not STREAM_MODULE.exists():
            raise Skip("nginx has no stream module (package libnginx-mod-stream)")
        self.folder = pathlib.Path.cwd() / "nginx"
        self.folder.mkdir()
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(ports)]
        self.ports = [one.getsockname()[1] for one in self.sockets]
        self.http, self.stream = http, stream

    def __enter__(self):
        names = {f"port{nth}": port for nth, port in enumerate(self.ports)}
        blocks = {"http": self.http, "stream": f"stream {{\n{self.stream}\n}}" if self.stream else ""}
        for kind, text in blocks.items():
            for name, port in names.items():
                text = text.replace(f"@{name}@", f"127.0.0.1:{port}")
            blocks[kind] = text
        modules = f"load_module {STREAM_MODULE};" if self.stream else ""
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self.folder, modules=modules, **blocks))
        descriptors = [one.fileno() for one in self.sockets]
        environment = os.environ | {"NGINX": "".join(f"{one};" for one in descriptors)}
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["nginx", "-p", str(self.folder), "-c", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, pass_fds=descriptors,
            )  # fmt: skip
        eventually(self._serves, "nginx serves")
        return self

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended at once: {self.log.read_text(errors='replace')[-500:]}")
        return "start worker process " in self.log.read_text(errors="replace")

    def reload(self) -> None:
        """Reads the configuration again, in new worker processes."""
        self.process.send_signal(signal.SIGHUP)

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "no end in time"
        for one in self.sockets:
            one.close()
        print(self.log.read_text(errors="replace"))
        if kind is None:
            expect(code, 0, "nginx's exit code")
