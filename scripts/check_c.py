"""Installs the C library into a fresh prefix, and builds and runs what its users would: the
examples of docs/c.md by pkg-config and by CMake, with gcc and clang, against the shared library
and the static one, and the static one beside SQLite and another Rust library.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from private_server import ROOT, cargo_build, private_server

C = ROOT / "bindings/c"
DOCUMENT = ROOT / "docs/c.md"
BLOCK = re.compile(r"^<!-- (examples/\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = {".c": ["-std=c11", "-D_GNU_SOURCE"], ".cpp": ["-std=c++17"]}
COMPILERS = [{".c": "gcc", ".cpp": "g++"}, {".c": "clang", ".cpp": "clang++"}]
LIMIT_S = 120


def run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=None if "install.sh" in str(command[0]) else LIMIT_S,
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


class Prefix:
    """A place where the library is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "prefix"
        self.work = folder
        run([ROOT / "scripts/install.sh"], PREFIX=str(self.folder))
        self.static = self.folder / "lib/libfencelock.a"

    def pkg_config(self, *arguments: str) -> list[str]:
        path = str(self.folder / "lib/pkgconfig")
        return shlex.split(run(["pkg-config", *arguments, "fencelock"], PKG_CONFIG_PATH=path))

    def run(self, *command: str | Path) -> None:
        run(list(command), LD_LIBRARY_PATH=str(self.folder / "lib"))

    def build(self, compilers: dict[str, str], source: Path, *link: str | Path) -> Path:
        flags = [*LANGUAGES[source.suffix], *STRICT, *self.pkg_config("--cflags")]
        program = self.work / f"{source.name}.{compilers['.c']}"
        run([compilers[source.suffix], *flags, source, "-o", program, *link])
        return program


def documented() -> Iterator[Path]:
    """The examples in the document, which must be the files that are built here."""
    for block in BLOCK.finditer(DOCUMENT.read_text()):
        file = C / block[1]
        if file.read_text() != block[2]:
            raise SystemExit(f"{DOCUMENT} shows another {block[1]} than there is")
        yield file


def in_the_readme(folder: Path) -> Path:
    """The README's example as a program."""
    block = re.search(r"^```c\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    if block is None:
        raise SystemExit("README.md has no example in C")
    code = block[1].replace("redis://localhost:6379/0", os.environ["FENCELOCK_URL"])
    includes = "#include <fencelock.h>\n#include <inttypes.h>\n#include <stdio.h>\n"
    program = folder / "readme.c"
    program.write_text(f"{includes}int main(void) {{\n{code}return 0;\n}}\n")
    return program


def by_pkg_config(prefix: Prefix, examples: list[Path]) -> None:
    for compilers in COMPILERS:
        for example in examples:
            prefix.run(prefix.build(compilers, example, *prefix.pkg_config("--libs")))
        program = prefix.build(compilers, C / "tests/layer.cpp", *prefix.pkg_config("--libs"))
        prefix.run(program)


def by_cmake(prefix: Prefix) -> None:
    where = f"-DCMAKE_PREFIX_PATH={prefix.folder}"
    for compilers in COMPILERS:
        build = prefix.work / f"cmake-{compilers['.c']}"
        run(
            ["cmake", "-S", C / "examples", "-B", build, where],
            CC=compilers[".c"],
            CXX=compilers[".cpp"],
        )
        run(["cmake", "--build", build, "--parallel", "2"])
        for name in ("lock", "events", "lock_cpp", "lock_static"):
            # Found without help: CMake has told the program where the library is.
            run([build / name])
    for version, good in {"0.1": True, "0.2": False, "1.0": False}.items():
        project = prefix.work / f"version-{version}"
        project.mkdir()
        lists = "cmake_minimum_required(VERSION 3.16)\nproject(x C)\n"
        (project / "CMakeLists.txt").write_text(
            f"{lists}find_package(fencelock {version} REQUIRED)\n"
        )
        command: list[str | Path] = ["cmake", "-S", project, "-B", project, where]
        found = subprocess.run(command, capture_output=True).returncode == 0
        if found != good:
            raise SystemExit(f"find_package(fencelock {version}): {found}")


def static_library(prefix: Prefix) -> None:
    nm = ["nm", "--extern-only", "--defined-only", "--format=just-symbols"]
    told = run([*nm, prefix.static])
    shown = sorted(line for line in told.splitlines() if line and not line.endswith(":"))
    listed = (C / "symbols.txt").read_text().split()
    if shown != listed:
        raise SystemExit(f"the static library shows other symbols: {set(shown) ^ set(listed)}")
    other = prefix.work / "libother.a"
    rustc = ["rustc", "--edition=2024", "--crate-type=staticlib", "-o"]
    run([*rustc, other, C / "tests/beside/other.rs"])
    libraries = prefix.pkg_config("--static", "--libs-only-l")[1:]
    include = f"-I{C / 'tests'}"
    for order in ([prefix.static, other], [other, prefix.static]):
        for sqlite in (["-l:libsqlite3.a", "-lm"], ["-lsqlite3"]):
            link: list[str | Path] = [include, *order, *sqlite, *libraries]
            run([prefix.build(COMPILERS[0], C / "tests/beside.c", *link)])


def below_destdir(prefix: Prefix) -> None:
    target = prefix.work / "destdir"
    run(
        [ROOT / "scripts/install.sh"],
        PREFIX="/opt/x",
        LIBDIR="/opt/x/lib/here",
        DESTDIR=str(target),
    )
    for name in ("lib/here/libfencelock.so.0", "lib/here/libfencelock.a", "include/fencelock.hpp"):
        if not (target / "opt/x" / name).exists():
            raise SystemExit(f"DESTDIR: {name} is not there")
    if str(target) in (target / "opt/x/lib/here/pkgconfig/fencelock.pc").read_text():
        raise SystemExit("DESTDIR is in fencelock.pc")


def main() -> int:
    cargo_build("-p", "fencelock-testserver")
    examples = list(documented())
    programs = [example for example in examples if example.suffix in LANGUAGES]
    with tempfile.TemporaryDirectory() as folder, private_server("debug") as url:
        os.environ["FENCELOCK_URL"] = url
        prefix = Prefix(Path(folder))
        programs.append(in_the_readme(Path(folder)))
        checks: list[tuple[str, Callable[[], None]]] = [
            ("pkg-config", lambda: by_pkg_config(prefix, programs)),
            ("CMake", lambda: by_cmake(prefix)),
            ("the static library", lambda: static_library(prefix)),
            ("DESTDIR", lambda: below_destdir(prefix)),
            ("ctypes", lambda: prefix.run(sys.executable, "-W", "error", C / "examples/ffi.py")),
        ]
        for name, check in checks:
            check()
            print(f"C library installed, and used by {name}")
    print(f"{len(examples) + 1} of {len(examples) + 1} C examples in the documentation work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
