# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That the harness does what it says: the other tests believe it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from urllib.parse import quote, urlencode

import pytest

from tests.harness import etcd as etcd_module
from tests.harness.etcd import EtcdError, EtcdServer, base64_of, binaries
from tests.harness.memory import MemoryEtcd
from tests.harness.module import COLLECTION, run_module, run_playbook
from tests.harness.pace import HANG, PATIENT, Waits, stretched
from tests.harness.process import free_port, wait_for
from tests.harness.wire import Wire

ODD_KEY = "/calico/v1/host/n ä/endpoint/a%2fb?c#d%25"
ROOT_PASSWORD = "root-pässword"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def speak(url, method="GET", path="/version", body=None, timeout=PATIENT):
    """Status and body, over a connection of its own."""
    address = url.split("//")[1]
    with closing(http.client.HTTPConnection(address, timeout=timeout)) as connection:
        connection.request(method, path, body, FORM if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# etcd


def test_keys_are_raw(etcd):
    index = etcd.put(ODD_KEY, '{"a":"é&=+%41"}')
    assert etcd.tree() == {ODD_KEY: '{"a":"é&=+%41"}'}
    assert etcd.get(ODD_KEY) == '{"a":"é&=+%41"}'
    assert etcd.index(ODD_KEY) == index
    assert etcd.delete(ODD_KEY) and not etcd.delete(ODD_KEY)
    assert etcd.get(ODD_KEY) is None
    assert etcd.tree("/calico", dirs=True)["/calico/v1/host/n ä/endpoint"] is None
    with pytest.raises(ValueError):
        etcd.put("/calico/../x", "")


def test_reset_empties_a_stopped_or_frozen_server(etcd):
    for disturb in (etcd.stop, etcd.kill, etcd.freeze, etcd.mkdir):
        etcd.put("/calico/v1/x", "y")
        etcd.put("/elsewhere", "z")
        disturb(*(["/calico/empty"] if disturb == etcd.mkdir else []))
        etcd.reset()
        assert etcd.tree(dirs=True) == {}


def test_a_frozen_server_accepts_and_never_answers(etcd):
    etcd.freeze()
    with pytest.raises(socket.timeout):
        speak(etcd.url, timeout=0.1)
    etcd.thaw()
    assert speak(etcd.url)[0] == 200


def test_a_restarted_server_has_its_port_and_data(etcd):
    etcd.put("/calico/v1/x", "y")
    url, pid = etcd.url, etcd.pid
    etcd.restart()
    assert (etcd.url, etcd.get("/calico/v1/x")) == (url, "y")
    assert etcd.pid != pid and not is_alive(pid)
    etcd.stop()
    with pytest.raises(ConnectionRefusedError):
        speak(etcd.url)


def test_without_v2_the_api_is_not_there(etcd_binary):
    with EtcdServer(etcd_binary, v2=False) as server:
        assert server.request("GET", "/v2/keys/") == (404, b"404 page not found\n")
        assert server.v3("kv/range", key="YQ==").get("count", "0") == "0"


def test_a_taken_port_is_tried_once_only(etcd, etcd_binary, monkeypatch):
    ports = iter([etcd.port])
    monkeypatch.setattr(etcd_module, "free_port", lambda: next(ports, None) or free_port())
    with EtcdServer(etcd_binary) as server:
        assert server.port != etcd.port
        server.put("/calico/v1/x", "y")
    assert etcd.tree() == {}


def test_a_server_that_ends_at_once_shows_its_log(certificates):
    files = certificates.server("broken")
    server = EtcdServer(tls=files._replace(key="/nowhere"))
    with pytest.raises(EtcdError, match="/nowhere"):
        server.start()
    assert not server.running


def test_binaries_from_the_environment(monkeypatch, tmp_path):
    first = binaries()[0]
    monkeypatch.setenv("NETSEC_ETCD_BINARIES", os.pathsep.join([first, first]))
    assert binaries() == [first]
    monkeypatch.setenv("NETSEC_ETCD_BINARIES", str(tmp_path / "none"))
    with pytest.raises(EtcdError, match="none"):
        binaries()


STARTER = """
import sys, threading
from tests.harness.etcd import EtcdServer
server = EtcdServer(sys.argv[1])
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
{then}
print(server.pid, server._folder, server.get("/calico/none"), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("then", ["", "server.restart()", "server.restart(); server.get('/x')"])
def test_a_server_outlives_its_thread_and_dies_with_its_starter(etcd_binary, then):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER.format(then=then), etcd_binary],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=str(COLLECTION),
    )
    with starter:
        pid, folder, value = starter.stdout.readline().decode().split()
        assert value == "None" and is_alive(int(pid))
        starter.send_signal(signal.SIGKILL)
    wait_for(lambda: not is_alive(int(pid)), HANG, "the server is gone")
    wait_for(lambda: not os.path.exists(folder), HANG, "its data are gone")


def command_line(*arguments):
    return [sys.executable, "-m", "tests.harness.etcd", *map(str, arguments)]


def test_a_command_gets_a_server(etcd_binary):
    script = "import os, sys; print(os.environ['ETCD_ENDPOINTS']); sys.exit(7)"
    command = command_line("--binary", etcd_binary, "--", sys.executable, "-c", script)
    environment = dict(os.environ, ETCD_CERT_FILE="/nowhere")
    run = subprocess.run(command, cwd=str(COLLECTION), stdout=subprocess.PIPE, env=environment, check=False)
    assert run.returncode == 7
    with pytest.raises(ConnectionRefusedError):
        speak(run.stdout.decode().strip())


def test_a_ready_file_appears_and_goes(etcd_binary, tmp_path):
    ready = tmp_path / "ready"
    command = command_line("--binary", etcd_binary, "--ready-file", ready)
    with subprocess.Popen(command, cwd=str(COLLECTION)) as process:
        wait_for(ready.exists, HANG, "the server gets ready")
        url = ready.read_text().strip()
        assert speak(url)[0] == 200
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not ready.exists()
    with pytest.raises(ConnectionRefusedError):
        speak(url)


def test_a_detached_server_outlives_its_caller_for_a_while(etcd_binary, tmp_path):
    ready = tmp_path / "ready"
    command = command_line("--binary", etcd_binary, "--ready-file", ready, "--detach-for", stretched(2))
    subprocess.run(["/bin/sh", "-c", '"$@" &', "sh", *command], cwd=str(COLLECTION), check=True)
    wait_for(ready.exists, HANG, "the server gets ready")
    assert speak(ready.read_text().strip())[0] == 200
    wait_for(lambda: not ready.exists(), HANG, "its time is over")


def test_tls_wants_a_client_certificate(_tls_etcd, certificates):
    tls_etcd = _tls_etcd
    tls_etcd.reset()

    def version(context):
        with closing(http.client.HTTPSConnection("127.0.0.1", tls_etcd.port, context=context)) as connection:
            connection.request("GET", "/version")
            return connection.getresponse().status

    context = ssl.create_default_context(cafile=certificates.ca)
    with pytest.raises(OSError):
        version(context)
    client = certificates.client()
    context.load_cert_chain(client.cert, client.key)
    assert version(context) == 200
    expired = certificates.client("late", expired=True)
    context.load_cert_chain(expired.cert, expired.key)
    with pytest.raises(OSError):
        version(context)
    tls_etcd.put("/calico/v1/x", "y")
    assert tls_etcd.tree() == {"/calico/v1/x": "y"}


@pytest.mark.parametrize("kind", ["expired", "elsewhere"])
def test_wrong_server_certificates(certificates, kind):
    files = certificates.elsewhere() if kind == "elsewhere" else certificates.server("expired", expired=True)
    context = ssl.create_default_context(cafile=certificates.ca)
    with EtcdServer(tls=files) as server:
        with closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=context)) as connection:
            with pytest.raises(ssl.SSLCertVerificationError, match=r"expired|not valid for '127.0.0.1'"):
                connection.request("GET", "/version")


def test_auth_lets_in_whom_it_should(_auth_etcd):
    auth_etcd = _auth_etcd
    auth_etcd.reset()

    def status(name, password, method, path):
        auth_etcd._credentials = name and (name, password)
        try:
            return auth_etcd.request(method, "/v2/keys" + path, "value=1" if method == "PUT" else None)[0]
        finally:
            auth_etcd._credentials = ("root", ROOT_PASSWORD)

    auth_etcd.add_user("reader", "pä:ss", read=["/calico/v1/*"])
    auth_etcd.add_user("writer", "first", read=["/calico/v1/*"])
    auth_etcd.add_user("writer", "second", read=["/calico/v1/*"], write=["/calico/v1/host/*"])
    auth_etcd.put("/calico/v1/host/x", "y")
    assert status("reader", "pä:ss", "GET", "/calico/v1/host/x") == 200
    assert status("reader", "pä:ss", "PUT", "/calico/v1/host/x") == 401
    assert status("writer", "second", "PUT", "/calico/v1/host/x") == 200
    assert status("writer", "first", "PUT", "/calico/v1/host/x") == 401
    assert status(None, None, "GET", "/calico/v1/host/x") == 401
    auth_etcd.disable_auth()
    auth_etcd.enable_auth(ROOT_PASSWORD, guest_read=True)
    assert status(None, None, "GET", "/calico/v1/host/x") == 200
    assert status(None, None, "PUT", "/calico/v1/host/x") == 401
    auth_etcd.disable_auth()
    auth_etcd.enable_auth(ROOT_PASSWORD)
    assert status(None, None, "GET", "/calico/v1/host/x") == 401


@pytest.mark.parametrize("disturbance", ["kill", "freeze"])
def test_a_cluster_goes_on_without_its_leader(cluster, disturbance):
    cluster.members[0].put("/calico/v1/x", "y")
    old = cluster.leader()
    getattr(cluster, disturbance)(old)
    new = cluster.leader()
    assert new != old
    assert cluster.members[new].get("/calico/v1/x") == "y"
    assert cluster.members[new].put("/calico/v1/x", "z")
    assert len(set(cluster.endpoints)) == 3


# The wire


PUT = ("PUT", "/v2/keys/calico/v1/x", "value=1")


def test_the_wire_tells_what_came(wire, etcd):
    with closing(http.client.HTTPConnection("127.0.0.1", wire.port)) as connection:
        for method, path, body in [PUT, ("GET", "/v2/keys/calico/v1/n%20%C3%A4%252f?quorum=true", None)]:
            connection.request(method, path, body, FORM if body else {})
            connection.getresponse().read()
    assert wire.requests == [PUT, ("GET", "/v2/keys/calico/v1/n%20%C3%A4%252f?quorum=true", "")]
    assert wire.writes == [PUT]
    assert wire.connections == 1
    assert (wire.requests[0].key, wire.requests[0].parameters) == ("/calico/v1/x", {"value": "1"})
    assert (wire.requests[1].key, wire.requests[1].parameters) == ("/calico/v1/n ä%2f", {"quorum": "true"})
    assert etcd.tree() == {"/calico/v1/x": "1"}
    wire.clear()
    assert (wire.requests, wire.connections) == ([], 0)


def test_the_wire_passes_large_and_failing_answers_on(wire, etcd):
    for number in range(40):
        etcd.put("/calico/v1/%d" % number, "x" * 1000)
    path = "/v2/keys/calico?recursive=true&sorted=true"
    assert speak(wire.url, path=path) == speak(etcd.url, path=path)
    assert speak(wire.url, path="/v2/keys/none") == speak(etcd.url, path="/v2/keys/none")


@pytest.mark.parametrize(
    "kind, error, written",
    [
        ("cut_before_commit", http.client.RemoteDisconnected, False),
        ("cut_after_commit", http.client.RemoteDisconnected, True),
        ("cut_mid_answer", http.client.IncompleteRead, True),
        ("reset", ConnectionResetError, False),
        ("freeze", socket.timeout, False),
    ],
)
def test_faults(wire, etcd, kind, error, written):
    wire.fault(kind)
    assert speak(wire.url)[0] == 200
    with pytest.raises(error):
        speak(wire.url, *PUT, timeout=0.2 if kind == "freeze" else PATIENT)
    assert etcd.get("/calico/v1/x") == ("1" if written else None)
    assert wire.writes == [PUT]
    assert speak(wire.url, *PUT)[0] in (200, 201)


def test_a_fault_takes_the_nth_and_some_more(wire):
    wire.fault("cut_before_commit", nth=2, times=2, path_contains="/v1/")
    outcomes = []
    for _number in range(4):
        assert speak(wire.url, "PUT", "/v2/keys/other", "value=1")[0] < 300
        try:
            outcomes.append(speak(wire.url, *PUT)[0])
        except http.client.RemoteDisconnected:
            outcomes.append(None)
    assert outcomes == [201, None, None, 200]
    wire.fault("reset", method=None, times=100)
    wire.heal()
    assert speak(wire.url)[0] == 200
    with pytest.raises(ValueError):
        wire.fault("magic")


def test_an_answer_of_our_own(wire, etcd):
    wire.answer(404, "404 page not found\n", "text/plain")
    assert speak(wire.url) == (404, b"404 page not found\n")
    assert speak(wire.url)[0] == 200


def test_another_writer_slips_in(wire, etcd):
    wire.before("PUT", lambda: etcd.put("/calico/v1/x", "other"), path_contains="/x")
    assert speak(wire.url, "PUT", "/v2/keys/calico/v1/x?prevExist=false", "value=1")[0] == 412
    assert etcd.get("/calico/v1/x") == "other"
    assert speak(wire.url, *PUT)[0] == 200


def test_closing_the_wire_frees_the_frozen(etcd):
    outcomes = []
    wire = Wire(etcd)
    wire.fault("freeze", method="GET")

    def wait():
        try:
            speak(wire.url, timeout=HANG)
        except (OSError, http.client.HTTPException) as error:
            outcomes.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: wire.requests, HANG, "the request comes")
    wire.close()
    thread.join(PATIENT)
    assert outcomes == [http.client.RemoteDisconnected]
    with pytest.raises(ConnectionRefusedError):
        speak(wire.url)


# Timeouts


@contextmanager
def mute_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=0.2) as client:
            yield client


@contextmanager
def alarm(seconds):
    before = signal.signal(signal.SIGALRM, lambda *_args: None)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_was_waited_for_in_vain_is_counted_by_what_was_set():
    with Waits() as waits, mute_connection() as client:
        for _number in range(2):
            with pytest.raises(socket.timeout):
                client.recv(1)
    assert waits.timeouts(0.2) == 2
    with Waits() as waits, mute_connection() as client:
        # Both run out at the end of one wait, and the connection was made in no time.
        with alarm(0.2), pytest.raises(socket.timeout):
            client.recv(1)
    assert waits.timeouts(0.2) == 1
    with Waits() as waits, alarm(60):
        time.sleep(0.3)
    assert waits.seconds == 0.3


# Modules and playbooks


def throwaway():
    from ansible.module_utils.basic import AnsibleModule, env_fallback

    spec = {
        "name": {"required": True},
        "secret": {"no_log": True},
        "where": {"fallback": (env_fallback, ["ETCD_ENDPOINTS"])},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    if module.params["name"] == "crash":
        raise RuntimeError("crash")
    module.warn("warned about " + module.params["name"])
    if module.params["name"] == "bad":
        module.fail_json(msg="secret is %s" % module.params["secret"], changes=[])
    seen = {"check": module.check_mode, "diff": module._diff, "where": module.params["where"]}
    module.exit_json(changed=True, pair=(1, 2), seen=seen)


# The etcd in memory

KEYS = {b"/a/b": b"1", b"/a/c d/e": b"\xff", b"/a/_hidden/f": b"2", b"/a/\xff": b"", b"/x": b"3"}
V2 = [
    ("GET", "/a", {"recursive": "true"}, None),
    ("GET", "/a", {}, None),
    ("GET", "/a/b", {}, None),
    ("GET", "/a/_hidden", {"recursive": "true"}, None),
    ("GET", "/none", {}, None),
    ("GET", "/x/y", {}, None),
    ("PUT", "/a/b", {"prevExist": "false"}, "4"),
    ("PUT", "/x/y", {"prevExist": "false"}, "4"),
    ("PUT", "/a/new", {"prevExist": "false"}, "4"),
    ("PUT", "/a/b", {"prevIndex": "999999"}, "4"),
    ("DELETE", "/a/b", {"prevIndex": "999999"}, None),
    ("DELETE", "/none", {"prevIndex": "1"}, None),
]


def test_the_etcd_in_memory_answers_as_a_real_one_v2(etcd):
    memory = MemoryEtcd()
    for key, value in KEYS.items():
        memory.put(key, value)
        etcd.request("PUT", "/v2/keys" + quote(key), "value=" + quote(value))
    for method, key, parameters, value in V2:
        body = None if value is None else urlencode({"value": value})
        status, answer = etcd.request(method, "/v2/keys%s?%s" % (quote(key), urlencode(parameters)), body)
        own_status, own_answer = memory.v2(method, key, parameters, value)
        assert own_status == (200 if status == 201 else status), (method, key)
        assert essence(json.loads(own_answer)) == essence(json.loads(answer)), (method, key)


def essence(answer):
    """What the collection looks at, without the numbers."""
    if "errorCode" in answer:
        return answer["errorCode"]
    return of_node(answer["node"])


def of_node(node):
    children = sorted(map(of_node, node.get("nodes", [])), key=repr)
    return node["key"], node.get("dir", False), node.get("value"), children


def test_the_etcd_in_memory_answers_as_a_real_one_v3(etcd):
    memory = MemoryEtcd()
    for key, value in KEYS.items():
        memory.put(key, value)
        etcd.v3("kv/put", key=base64_of(key), value=base64_of(value))
    a, b, x, none = map(base64_of, (b"/a/", b"/a0", b"/x", b"/none"))
    never = {"key": x, "target": "MOD", "result": "EQUAL", "mod_revision": 999999}
    put = {"request_put": {"key": x, "value": a}}
    for path, document in [
        ("kv/range", {"key": a, "range_end": b}),
        ("kv/range", {"key": a, "range_end": b, "limit": 2}),
        ("kv/range", {"key": none}),
        ("kv/txn", {"success": [{"request_range": {"key": x}}, {"request_range": {"key": none}}]}),
        ("kv/txn", {"compare": [never], "success": [put]}),
        ("kv/txn", {"compare": [dict(never, key=none, mod_revision=0)], "success": [put]}),
        ("kv/range", {"key": x}),
    ]:
        assert without_numbers(memory.v3(path, document)) == without_numbers(etcd.v3(path, **document)), (
            path,
            document,
        )


def without_numbers(answer):
    if isinstance(answer, dict):
        names = ("header", "create_revision", "mod_revision", "version")
        return {key: without_numbers(item) for key, item in answer.items() if key not in names}
    return [without_numbers(each) for each in answer] if isinstance(answer, list) else answer


def test_a_module_goes_through_json(monkeypatch):
    monkeypatch.setenv("ETCD_ENDPOINTS", "http://from.the.tester")
    result = run_module(throwaway, {"name": "ä"})
    assert result["pair"] == [1, 2]
    assert result["seen"] == {"check": False, "diff": False, "where": None}
    assert (result["changed"], result["failed"], result["warnings"]) == (True, False, ["warned about ä"])
    result = run_module(throwaway, {"name": "b"}, check=True, diff=True, env={"ETCD_ENDPOINTS": "http://x"})
    assert result["seen"] == {"check": True, "diff": True, "where": "http://x"}
    assert result["warnings"] == ["warned about b"]
    assert os.environ["ETCD_ENDPOINTS"] == "http://from.the.tester"


def test_a_module_fails():
    result = run_module(throwaway, {"name": "bad", "secret": "hidden"})
    assert (result["failed"], result["msg"], result["warnings"]) == (True, "secret is ********", ["warned about bad"])
    assert "hidden" not in json.dumps(result)
    assert "nam" in run_module(throwaway, {"nam": "x"})["msg"]
    with pytest.raises(RuntimeError, match="crash"):
        run_module(throwaway, {"name": "crash"})


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: look around
      ansible.builtin.command: env
      changed_when: false
    - name: which python
      ansible.builtin.debug:
        msg: "{{ ansible_python_interpreter }}"
    - name: not now
      ansible.builtin.debug:
      when: false
    - name: fails
      ansible.builtin.fail:
        msg: "{{ reason }}"
"""


def test_a_playbook_runs_apart(monkeypatch):
    monkeypatch.setenv("ETCD_ENDPOINTS", "http://from.the.tester")
    run = run_playbook(PLAYBOOK, extra_args=["-e", "reason=because"], env={"DATASTORE_TYPE": "etcdv2"})
    assert run.returncode == 2
    assert [(each["task"], each["status"]) for each in run.results] == [
        ("look around", "ok"),
        ("which python", "ok"),
        ("not now", "skipped"),
        ("fails", "failed"),
    ]
    environment = dict(line.split("=", 1) for line in run.result("look around")["stdout_lines"] if "=" in line)
    assert environment["DATASTORE_TYPE"] == "etcdv2" and "ETCD_ENDPOINTS" not in environment
    assert environment["HOME"] != os.environ["HOME"]
    calico = os.path.join(environment["ANSIBLE_COLLECTIONS_PATH"], "ansible_collections", "netsec", "calico")
    assert os.path.samefile(calico, str(COLLECTION))
    assert run.result("which python")["msg"] == sys.executable
    assert run.result("fails", "localhost")["msg"] == "because"
    assert run.stats["localhost"]["failures"] == 1
    assert "TASK [fails]" in run.stdout
