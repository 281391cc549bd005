# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection brings for AWX: is it what AWX takes, and do jobs work with what AWX makes of it?"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import ansible_runner
import pytest
import yaml
from awx_plugins.interfaces._temporary_private_api import ManagedCredentialType
from awx_plugins.interfaces._temporary_private_credential_api import Credential
from awx_plugins.interfaces._temporary_private_inject_api import ENV_BLOCKLIST, HIDDEN_PASSWORD, inject_credential
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.harness.fleet import RecordedFleet, inventory
from tests.harness.module import COLLECTION, collections_path, run_module, run_playbook
from tests.harness.pace import HANG
from tests.integration.role import OWNER_LABEL, fleet_of, kubernetes_for, worker
from tests.integration.tasks import only_kubernetes

PREFIX = "Calico host endpoints - "
# The options of the modules of awx.awx 24.6.1, by type, without those that say where AWX is.
OPTIONS = {
    "credential_type": {"str": "description kind name new_name state", "dict": "injectors inputs"},
    "job_template": {
        "bool": "allow_simultaneous ask_credential_on_launch ask_diff_mode_on_launch "
        "ask_execution_environment_on_launch ask_forks_on_launch ask_instance_groups_on_launch ask_inventory_on_launch "
        "ask_job_slice_count_on_launch ask_job_type_on_launch ask_labels_on_launch ask_limit_on_launch "
        "ask_scm_branch_on_launch ask_skip_tags_on_launch ask_tags_on_launch ask_timeout_on_launch "
        "ask_variables_on_launch ask_verbosity_on_launch become_enabled diff_mode force_handlers "
        "prevent_instance_group_fallback survey_enabled use_fact_cache",
        "str": "copy_from credential custom_virtualenv description execution_environment host_config_key inventory "
        "job_tags job_type limit name new_name organization playbook project scm_branch skip_tags start_at_task state "
        "vault_credential webhook_credential webhook_service",
        "list": "credentials instance_groups labels notification_templates_error notification_templates_started "
        "notification_templates_success",
        "dict": "extra_vars survey_spec",
        "int": "forks job_slice_count timeout verbosity",
    },
    "workflow_job_template": {
        "bool": "allow_simultaneous ask_inventory_on_launch ask_labels_on_launch ask_limit_on_launch "
        "ask_scm_branch_on_launch ask_skip_tags_on_launch ask_tags_on_launch ask_variables_on_launch "
        "destroy_current_nodes survey_enabled",
        "str": "copy_from description inventory job_tags limit name new_name organization scm_branch skip_tags state "
        "webhook_credential webhook_service",
        "dict": "extra_vars survey_spec",
        "list": "labels notification_templates_approvals notification_templates_error notification_templates_started "
        "notification_templates_success workflow_nodes",
    },
    "workflow_job_template_node": {
        "bool": "all_parents_must_converge diff_mode",
        "str": "execution_environment identifier inventory job_tags job_type limit lookup_organization organization "
        "scm_branch skip_tags state unified_job_template verbosity workflow_job_template",
        "list": "always_nodes credentials failure_nodes instance_groups labels success_nodes",
        "dict": "approval_node extra_data",
        "int": "forks job_slice_count timeout",
    },
    "label": {"str": "name new_name organization state"},
    "schedule": {
        "bool": "diff_mode enabled",
        "str": "description execution_environment inventory job_tags job_type limit name new_name organization rrule "
        "scm_branch skip_tags state unified_job_template",
        "list": "credentials instance_groups labels",
        "dict": "extra_data",
        "int": "forks job_slice_count timeout verbosity",
    },
}
# A module of these options, of which only the documentation is read, since an action has its name.
MODULE = '''
DOCUMENTATION = """
module: {name}
short_description: a stand-in
description: It does nothing.
author: none
options: {{controller_host: {{type: str, description: Where AWX is.}}}}
"""
'''
# It returns what it was given, and reports a change if that differs from earlier runs. An action does it, because the
# start of a process for each of some 40 objects would take longer than the rest of the run.
# As in awx.awx 24.6.1, an approval in workflow_nodes is always a change, since the module compares it with fields of
# its node, and a task with approval_node cannot link the node, since the module looks for the links at the approval.
ACTION = """
import json, os
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        _result, options = self.validate_argument_spec({spec!r})
        given = json.loads(json.dumps({{key: value for key, value in options.items() if value is not None}}))
        if "approval_node" in given and {{"success_nodes", "failure_nodes", "always_nodes"}} & set(given):
            raise AnsibleActionFail("not a field of an approval")
        path = os.path.join({state!r}, "{name} %s" % (given.get("identifier") or given["name"]))
        known = json.load(open(path)) if os.path.exists(path) else {{}}
        types = [node["unified_job_template"]["type"] for node in given.get("workflow_nodes", [])]
        approvals = [kind for kind in types if "approval" in kind]
        if not self._task.check_mode:
            json.dump({{**known, **given}}, open(path, "w"))
        return dict(changed=bool(approvals) or {{**known, **given}} != known, given=given)
"""


@pytest.fixture(scope="session")
def awx_awx(tmp_path_factory):
    return make_stand_in(tmp_path_factory)


def make_stand_in(tmp_path_factory):
    """A folder of collections with a stand-in for awx.awx."""
    folder = tmp_path_factory.mktemp("collections")
    plugins = folder / "ansible_collections" / "awx" / "awx" / "plugins"
    state = tmp_path_factory.mktemp("awx")
    for kind in ("modules", "action"):
        (plugins / kind).mkdir(parents=True)
    for name, options in OPTIONS.items():
        spec = {option: {"type": kind} for kind, names in options.items() for option in names.split()}
        (plugins / "modules" / (name + ".py")).write_text(MODULE.format(name=name), encoding="utf-8")
        text = ACTION.format(name=name, spec=spec, state=str(state))
        (plugins / "action" / (name + ".py")).write_text(text, encoding="utf-8")
    return str(folder)


def run_kit(variables, *folders, args=(), **options):
    path = os.pathsep.join([collections_path(), *folders])
    env = {"ANSIBLE_COLLECTIONS_PATH": path, **options.pop("env", {})}
    names = {"calico_awx_" + name: value for name, value in variables.items()}
    return run_playbook("netsec.calico.awx", extra_args=["-e", json.dumps(names), *args], env=env, **options)


REQUIRED = {"inventory": "Fleet", "project": "Network"}
RRULE = "DTSTART:20260101T020000Z RRULE:FREQ=DAILY;INTERVAL=1"
OPTIONAL = {
    "credentials": ["ssh", "etcd"],
    "audit_credentials": ["ssh", "read-only"],
    "report_dir": "/reports",
    "schedule": RRULE,
    "labels": ["network", "calico"],
    "notifications": {"error": ["mail"], "success": [], "started": ["chat"], "approvals": ["chat"]},
    "instance_groups": ["dmz"],
    "forks": 50,
    "timeout": 3600,
    "fact_cache": True,
}


def given_by(run):
    """{module: [what it was given]}"""
    assert run.returncode == 0, run
    found = {name: [] for name in OPTIONS}
    for each in run.results:
        for item in each["result"].get("results", []):
            if "given" in item:
                found[each["action"][len("awx.awx.") :]].append(item["given"])
    return found


@pytest.fixture(scope="session")
def made(awx_awx):
    """{module: [what it was given]} in a run of netsec.calico.awx with all variables."""
    return given_by(run_kit({**REQUIRED, **OPTIONAL}, awx_awx))


@pytest.fixture(scope="session")
def templates(made):
    return {each["name"][len(PREFIX) :]: each for each in made["job_template"]}


# The playbook


def test_without_awx_awx_it_says_what_to_install():
    run = run_kit(REQUIRED)
    assert run.returncode == 2, run
    assert "ansible-galaxy collection install awx.awx" in run.stdout and "couldn't resolve" not in run.stdout


@pytest.mark.parametrize("missing", ["inventory", pytest.param("project", marks=pytest.mark.thorough)])
def test_names_that_have_to_be_given(awx_awx, missing):
    run = run_kit({name: "x" for name in REQUIRED if name != missing}, awx_awx)
    assert run.returncode == 2 and "-e calico_awx_inventory=... -e calico_awx_project=..." in run.stdout


class Loader(yaml.SafeLoader):
    """Reads the data file as Ansible does."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def test_every_key_of_the_data_gets_to_awx(made):
    """Who gives the file to the roles of infra.aap_configuration gets the same."""
    data = yaml.load((COLLECTION / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8"), Loader)
    names = {
        "controller_credential_types": "credential_type",
        "controller_templates": "job_template",
        "controller_workflows": "workflow_job_template",
    }
    assert {name for name in data if not name.startswith("__")} == {*names, "controller_schedules"}
    for name, module in names.items():
        known = {option for options in OPTIONS[module].values() for option in options.split()}
        for item, given in zip(data[name], made[module], strict=True):
            keys = set(item) - {"simplified_workflow_nodes"}
            assert keys <= known and keys - {"execution_environment"} <= set(given)


def test_with_few_variables_awxs_values_are_left_and_only_the_surveys_ask(tmp_path_factory):
    """Only the ansible.cfg of the run names the collections, one beside it."""
    folder = tmp_path_factory.mktemp("configured")
    (folder / "mine").symlink_to(make_stand_in(tmp_path_factory))
    config = "[defaults]\ncollections_path = ./mine:%s\n" % collections_path()
    (folder / "ansible.cfg").write_text(config, encoding="utf-8")
    env = {"ANSIBLE_COLLECTIONS_PATH": None, "ANSIBLE_CONFIG": None}
    least = given_by(run_kit({**REQUIRED, "ask_variables": False}, env=env, cwd=folder))
    (template, *_others) = least["job_template"]
    left = {"labels", "instance_groups", "forks", "timeout", "use_fact_cache", "execution_environment"}
    assert not [name for name in template if name in left or name.startswith("notification")]
    assert not least["schedule"] and not least["label"]
    assert not [each["name"] for each in least["job_template"] if each["ask_variables_on_launch"]]


def test_the_variables_get_to_awx(made, templates):
    (workflow,) = made["workflow_job_template"]
    assert [each["name"] for each in made["label"]] == OPTIONAL["labels"]
    for each in [*templates.values(), workflow]:
        assert each["labels"] == OPTIONAL["labels"] and each["notification_templates_error"] == ["mail"]
        assert each["notification_templates_success"] == [] and each["notification_templates_started"] == ["chat"]
    assert workflow["notification_templates_approvals"] == ["chat"]
    for name, template in templates.items():
        settings = [template[key] for key in ("instance_groups", "forks", "timeout", "use_fact_cache")]
        assert settings == [["dmz"], 50, 3600, True]
        reads = name in ("audit", "plan")
        assert template["credentials"] == OPTIONAL["audit_credentials" if reads else "credentials"]
    (schedule,) = made["schedule"]
    assert schedule["rrule"] == RRULE and schedule["unified_job_template"] == workflow["name"]


def test_a_second_run_changes_nothing(awx_awx, made):
    assert made
    again = run_kit({**REQUIRED, **OPTIONAL}, awx_awx)
    assert again.returncode == 0 and again.stats["localhost"]["changed"] == 0, again


def test_check_mode_before_the_first_run(tmp_path_factory):
    """The nodes of a workflow that does not exist cannot be compared."""
    made = given_by(run_kit({**REQUIRED, **OPTIONAL}, make_stand_in(tmp_path_factory), args=["--check"]))
    assert made["job_template"] and made["workflow_job_template"]
    assert not made["workflow_job_template_node"] and not made["schedule"]


# The credential type


@pytest.fixture(scope="session")
def credential_types(made):
    return {each["name"]: each for each in made["credential_type"]}


@pytest.fixture(scope="session")
def credential_type(credential_types):
    return credential_types["Calico etcd"]


@pytest.mark.parametrize("name", ["Calico etcd", "Calico on Kubernetes"])
def test_awx_takes_the_credential_type(credential_types, name):
    """By the rules of AWX's CredentialTypeInputField and CredentialTypeInjectorField."""
    credential_type = credential_types[name]
    assert credential_type["kind"] in ("cloud", "net")
    inputs, injectors = credential_type["inputs"], credential_type["injectors"]
    assert set(inputs) == {"fields", "required"} and set(injectors) == {"file", "env"}
    keys = {"id", "label", "type", "help_text", "multiline", "secret", "choices", "default"}
    ids = [field["id"] for field in inputs["fields"]]
    assert len(set(ids)) == len(ids) and "tower" not in ids and set(inputs["required"]) <= set(ids)
    for field in inputs["fields"]:
        assert set(field) <= keys and field["type"] == "string" and re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", field["id"])
        assert field.get("default", "") in field.get("choices", [""])
    for name in injectors["env"]:
        assert not name.startswith("ANSIBLE_") and name not in ENV_BLOCKLIST
    files = {name[len("template.") :]: "FILE" for name in injectors["file"]}
    namespace = dict(dict.fromkeys(ids, "EXAMPLE"), tower={"filename": files})
    for template in [*injectors["file"].values(), *injectors["env"].values()]:
        rendered = ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(template).render(namespace)
        assert rendered in ("EXAMPLE", "FILE", template) and template.isascii()


def injected(credential_type, folder, **inputs):
    """The environment that AWX gives to a job, and what it keeps of it in its database."""
    (folder / "env").mkdir(parents=True, exist_ok=True)
    kind = ManagedCredentialType(
        namespace="",
        **{key: credential_type[key] for key in ("name", "kind")},
        **{key: credential_type[key] for key in ("inputs", "injectors")},
    )
    env, safe_env, args = {}, {}, []
    inject_credential(kind, Credential(inputs), env, safe_env, args, str(folder))
    assert args == []
    # The container has the folder there.
    return {name: value.replace("/runner/", "%s/" % folder) for name, value in env.items()}, safe_env


def test_what_a_job_gets(credential_type, tmp_path):
    pem = {"ca": "CA\n", "cert": "CERT\n", "key": "KEY"}
    env, safe = injected(
        credential_type,
        tmp_path,
        datastore_type="etcdv3",
        endpoints="https://a:1,https://b:2",
        username="awx",
        password="geheim",
        **pem,
    )
    for name, content in pem.items():
        path = Path(env["CALICO_ETCD_%s_FILE" % {"ca": "CA_CERT"}.get(name, name.upper())])
        assert path.parent == tmp_path / "env" and path.read_text() == content and path.stat().st_mode & 0o777 == 0o600
    assert not [value for value in safe.values() if "geheim" in value or "KEY" in value]
    assert safe["CALICO_ETCD_PASSWORD"] == HIDDEN_PASSWORD

    from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings

    settings = build_settings({}, env)
    assert (settings.datastore_type, settings.etcd_endpoints) == ("etcdv3", ("https://a:1", "https://b:2"))
    assert (settings.etcd_username, settings.etcd_password) == ("awx", "geheim")
    assert settings.etcd_key_file == env["CALICO_ETCD_KEY_FILE"]
    # Every variable is one that the modules read.
    assert set(settings.sources.values()) == {"environment"} and len(settings.sources) == len(env)


def test_what_is_left_out_is_not_set(credential_type, tmp_path):
    from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings

    env, _safe = injected(credential_type, tmp_path, datastore_type="etcdv2", endpoints="http://a:1")
    assert sorted(build_settings({}, env).sources) == ["datastore_type", "etcd_endpoints"]


def test_a_credential_without_a_type_has_the_default_of_the_form(credential_type, tmp_path):
    """AWX's API accepts it, and AWX sets each variable: an empty one would be an error."""
    from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings

    env, _safe = injected(credential_type, tmp_path, endpoints="http://a:1")
    (default,) = [field["default"] for field in credential_type["inputs"]["fields"] if field["id"] == "datastore_type"]
    assert build_settings({}, env).datastore_type == default
    # The inventory decides.
    assert build_settings({"datastore_type": "etcdv2"}, env).datastore_type == "etcdv2"


def bearer_token(folder, datastore):
    """The environment that AWX's own type OpenShift or Kubernetes API Bearer Token gives to a job."""
    path = folder / "env" / "awx-ca"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Path(datastore.server.ca).read_text(encoding="utf-8"), encoding="utf-8")
    return {
        "K8S_AUTH_HOST": datastore.url,
        "K8S_AUTH_API_KEY": datastore.server.token,
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": str(path),
    }


@only_kubernetes
@pytest.mark.parametrize("has_kubeconfig", [True, False])
def test_what_a_job_on_kubernetes_gets(datastore, credential_types, tmp_path, has_kubeconfig):
    """A kubeconfig, or the cluster of a credential of AWX's own type."""
    text = json.dumps(datastore.server.kubeconfig())
    inputs = {"kubeconfig": text} if has_kubeconfig else {}
    kind = credential_types["Calico on Kubernetes"]
    env, safe = injected(kind, tmp_path, api_group=datastore.api, **inputs)
    assert not [value for value in safe.values() if datastore.server.token in value]
    if not has_kubeconfig:
        env.update(bearer_token(tmp_path, datastore))
    datastore.put_endpoint({"name": "h1", "node": "n1", "interface_name": "eth0"})
    found = run_module("calico_hostendpoint_info", {}, env=env)
    assert [each["name"] for each in found["hostendpoints"]] == ["h1"], found


# The jobs


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    hosts = {"worker-%d" % number: worker(number) for number in (1, 2)}
    return RecordedFleet(tmp_path_factory.mktemp("fleet") / "recorded", hosts)


@pytest.fixture
def job(tmp_path, recorded, templates, credential_type, tls_datastore, certificates):
    """Launch a job of one of the templates, as AWX does it, with these answers to the survey."""
    client = certificates.client("awx")

    def launch(name, **answers):
        template, folder = templates[name], tmp_path / name
        files = {"ca": client.ca, "cert": client.cert, "key": client.key}
        more = {}
        if tls_datastore.type == "kubernetes":
            # With no other credential than AWX's own.
            env = bearer_token(folder, tls_datastore)
            more = {"hostendpoints_datastore_type": "kubernetes", "hostendpoints_calico_api_group": tls_datastore.api}
        else:
            env, _safe = injected(
                credential_type,
                folder,
                datastore_type=tls_datastore.type,
                endpoints=tls_datastore.url,
                **{field: Path(path).read_text().strip() for field, path in files.items()},
            )
        environment = dict(
            recorded.environment,
            **env,
            PATH=str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            HOME=str(tmp_path),
            ANSIBLE_HOME=str(tmp_path / "ansible"),
            ANSIBLE_COLLECTIONS_PATH=collections_path(),
        )
        options = ["--check"] * (template["job_type"] == "check") + ["--diff"] * template["diff_mode"]
        reports = {"hostendpoints_audit_report_dir": str(tmp_path / "reports"), "hostendpoints_gather_facts": False}
        for path, content in {
            "inventory/hosts.json": inventory(["worker-1", "worker-2"]),
            "env/cmdline": " ".join(options),
            "env/envvars": json.dumps(environment),
            "env/extravars": json.dumps({**template["extra_vars"], **reports, **more, **answers}),
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        cache = recorded.environment["ANSIBLE_CACHE_PLUGIN_CONNECTION"]
        return ansible_runner.run(
            private_data_dir=str(folder), playbook=template["playbook"], quiet=True, timeout=HANG, fact_cache=cache
        )

    return launch


def report_of(tmp_path):
    """It is there in any case; taken away, so that the next one is the next audit's."""
    path = tmp_path / "reports" / "audit.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return report["failed"], report["reason"]


def test_audit_apply_audit(job, tls_datastore, tmp_path):
    """Over TLS, with no more than what AWX hands over."""
    red = job("audit")
    assert red.status == "failed" and not tls_datastore.stored(), red.stdout.read()
    failed, reason = report_of(tmp_path)
    assert failed and reason.startswith("4 missing (fail_on: ")
    assert "AUDIT FAILED: 4 missing" in red.stdout.read()

    apply = job("apply")
    assert apply.status == "successful" and len(tls_datastore.stored()) == 4, apply.stdout.read()

    before = tls_datastore.stored()
    green = job("audit")
    assert (green.status, report_of(tmp_path)) == ("successful", (False, "everything matches")), green.stdout.read()
    # What later nodes of a workflow get.
    (artifact,) = [
        event["event_data"]["artifact_data"] for event in green.events if "artifact_data" in event["event_data"]
    ]
    assert artifact["hostendpoints_audit"]["failed"] is False

    tls_datastore.put_endpoint({"node": "worker-1", "name": "worker-1-old", "interface_name": "eth2"})
    red = job("audit", hostendpoints_audit_fail_on=["unmanaged"])
    assert red.status == "failed" and report_of(tmp_path)[1] == "1 unmanaged (fail_on: unmanaged)"
    assert job("apply", hostendpoints_purge="all", hostendpoints_purge_limit=1).status == "successful"
    assert tls_datastore.stored() == before

    library = {"calico_policies_library": ["ping"], "calico_policies_purge": "owned"}
    policies = job("policies", **library)
    output = policies.stdout.read()
    assert policies.status == "successful" and re.search(r"changed=1\b", output), output
    assert tls_datastore.stored() == before


# Surveys and the workflow


def test_awx_takes_the_surveys(templates):
    """By the rules of AWX's JobTemplateSurveySpec."""
    from ansible_collections.netsec.calico.plugins.plugin_utils._report.build import FAIL_ON

    variables = {}
    for name, template in templates.items():
        survey = template["survey_spec"]
        assert template["survey_enabled"] and set(survey) == {"name", "description", "spec"} and survey["spec"]
        for question in survey["spec"]:
            assert {"question_name", "type", "variable", "required"} <= set(question)
            choices = question.get("choices", "").split("\n")
            if question["type"] in ("multiselect", "multiplechoice"):
                assert set(question["default"].split("\n")) <= {*choices, ""}
            else:
                assert question["type"] in ("text", "integer") and isinstance(question["min"], int)
            variables[name, question["variable"]] = choices
    assert set(variables["audit", "hostendpoints_audit_fail_on"]) == set(FAIL_ON)
    # AWX takes the default of such a question only from the form, and not for a schedule.
    (question,) = templates["audit"]["survey_spec"]["spec"]
    assert templates["audit"]["extra_vars"]["hostendpoints_audit_fail_on"] == question["default"].split("\n")
    planned = ["hostendpoints_guard", "hostendpoints_guard_limit", "hostendpoints_purge", "hostendpoints_purge_limit"]
    assert [variable for _name, variable in variables][1:] == [
        *planned,
        *planned[:2],
        "hostendpoints_canary",
        *planned[2:],
        "calico_policies_purge",
        "calico_policies_purge_limit",
        "hostendpoints_decommission",
        "hostendpoints_purge_limit",
    ]


def test_what_apply_asks_for(templates):
    """AWX drops a variable that it does not ask for, unless it asks for all variables."""
    apply = templates["apply"]
    asked = ("forks", "limit", "job_type", "job_slice_count", "variables")
    assert all(apply["ask_%s_on_launch" % name] for name in asked)


def test_the_workflow(made, templates):
    (workflow,) = made["workflow_job_template"]
    nodes, links = {}, {}
    for node in made["workflow_job_template_node"]:
        linked = {key: value for key, value in node.items() if key.endswith("_nodes")}
        (links if linked else nodes)[node["identifier"]] = linked or node
        assert node["workflow_job_template"] == workflow["name"]
    assert {name: {kind: names for kind, names in each.items() if names} for name, each in links.items()} == {
        "audit": {"failure_nodes": ["plan"]},
        "plan": {"success_nodes": ["approve"]},
        "approve": {"success_nodes": ["apply"]},
        "apply": {"always_nodes": ["audit_again"]},
        "audit_again": {},
    }
    assert nodes.keys() == links.keys() and nodes.pop("approve")["approval_node"]["name"]
    names = {name: node["unified_job_template"] for name, node in nodes.items()}
    assert names == {name: PREFIX + name.split("_")[0] for name in nodes}
    assert workflow["ask_limit_on_launch"]
    # AWX would prefer a variable of the workflow to the plan of the job that was approved.
    assert workflow["ask_variables_on_launch"] is False
    for name, node in nodes.items():
        template = templates[names[name][len(PREFIX) :]]
        # AWX drops what the template does not ask for.
        asked = {question["variable"] for question in template["survey_spec"]["spec"]}
        assert set(node.get("extra_data", {})) <= asked and template["ask_limit_on_launch"]


# The playbook decommission


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {}) as fleet:
        yield fleet


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    _fleet.put("n1/eth0", "n1/eth1", "n2/eth0", "n10/eth0")
    _fleet.put("n1/theirs", owner="other")
    return _fleet


def decommission(fleet, *args, **variables):
    return fleet.playbook("netsec.calico.decommission", ["n1"], "-e", json.dumps(variables), *args)


def test_decommission(fleet):
    before = fleet.stored()
    check = decommission(fleet, "--check", hostendpoints_decommission="n1, n2")
    assert check.returncode == 0 and fleet.stored() == before, check
    assert check.result("Delete the host endpoints")["summary"]["deleted"] == 3
    assert decommission(fleet, hostendpoints_decommission="n1, n2").returncode == 0
    assert sorted(fleet.stored()) == ["n1/theirs", "n10/eth0"]
    assert fleet.stored()["n1/theirs"]["labels"] == {OWNER_LABEL: "other"}
    again = decommission(fleet, hostendpoints_decommission=["n1", "n2"])
    assert again.stats["localhost"]["changed"] == 0


@pytest.mark.parametrize(
    "variables, message",
    [
        ({}, "hostendpoints_decommission=worker-8,worker-9"),
        pytest.param(
            {"hostendpoints_decommission": " , "},
            "hostendpoints_decommission=worker-8,worker-9",
            marks=pytest.mark.thorough,
        ),
        ({"hostendpoints_decommission": "n1", "hostendpoints_purge_limit": 1}, "purge_limit"),
    ],
)
def test_what_decommission_refuses(fleet, variables, message):
    before = fleet.stored()
    run = decommission(fleet, **variables)
    assert run.returncode == 2 and message in run.stdout, run
    assert fleet.stored() == before
