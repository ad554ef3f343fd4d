"""``make h2spec``: h2spec, strict, against a node that runs, plain and with TLS.

h2spec is a Go program, which ``make h2spec`` builds; ``tests/node/http/test_h2spec.py`` has its cases for every run.
It sends small windows and broken frames and looks at the answer; floods and time-outs are not its subject.
"""

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from tests.e2e import servers
from tests.e2e.certificates import make_certificates
from tests.e2e.images import make_image
from tests.e2e.pushes import Client

PATH = "/v2/e2e/h2spec/manifests/v1"  # A body of more than a few bytes, as the cases of flow control need.
PATIENCE = "2"  # Seconds for the answer to a case.


def main() -> int:
    """Run it twice; return the number of runs that failed."""
    program = Path(sys.argv[1])
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        for name, shown in (("plain", None), ("tls", certificates)):
            with servers.registry(Path(folder) / name, certificates=shown) as server:
                with closing(Client(server)) as client:
                    client.put_image("e2e/h2spec", "v1", make_image(90, layers=(3000,)))
                command: list[str | Path] = [
                    program,
                    "-S",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(server.port),
                    "-P",
                    PATH,
                    "-o",
                    PATIENCE,
                ]
                print(f"h2spec, {name}:", flush=True)
                failed += bool(subprocess.run([*command, *(("-t", "-k") if shown else ())], check=False).returncode)
    return failed


if __name__ == "__main__":
    sys.exit(main())
