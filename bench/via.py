"""An uncontended pair from Rust by TCP, Unix socket and TLS, side by side: bench/via.py."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import trustme
from harness import pinned
from harness.child import Child

PROGRAM = Path(__file__).parent.parent / "target" / "release" / "fencelock-bench"
CORE = 0
ROUNDS = 60
PAIRS = 200


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fencelock-bench-") as name:
        folder = Path(name)
        authority = trustme.CA()
        shown = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        shown.cert_chain_pems[0].write_to_path(folder / "server.pem")
        shown.private_key_pem.write_to_path(folder / "server.key")
        plain, tls = 26391, 26392
        command = f"redis-server --bind 127.0.0.1 --port {plain} --unixsocket {folder}/socket"
        command += f" --tls-port {tls} --tls-cert-file {folder}/server.pem --tls-auth-clients no"
        command += f" --tls-key-file {folder}/server.key --tls-ca-cert-file {folder}/ca.pem"
        words = [*command.split(), "--save", "", "--dir", name]
        server = pinned.start(words, CORE, subprocess.DEVNULL, pipes=False)
        try:
            while not (folder / "socket").exists():
                time.sleep(0.02)
            compare(
                {
                    "tcp": f"redis://127.0.0.1:{plain}",
                    "unix": f"redis+unix://{folder}/socket",
                    "tls": f"rediss://127.0.0.1:{tls}?tls_ca={folder}/ca.pem",
                }
            )
        finally:
            server.terminate()
            server.wait()


def compare(urls: dict[str, str]) -> None:
    children = {
        via: Child([str(PROGRAM), "--mode", "blocking", url], CORE) for via, url in urls.items()
    }
    medians: dict[str, list[float]] = {via: [] for via in urls}
    for _ in range(ROUNDS):
        for via, child in children.items():
            child.ask("pair warm 20")
            nanos = [int(word) for word in child.ask(f"pair x {PAIRS}")]
            medians[via].append(statistics.median(nanos) / 1000)
    for via, child in children.items():
        child.stop()
        ratio = statistics.median(
            own / tcp for own, tcp in zip(medians[via], medians["tcp"], strict=True)
        )
        print(f"{via:5} p50 {statistics.median(medians[via]):6.1f} µs, {ratio:.2f} x TCP")


if __name__ == "__main__":
    main()
