# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datastores' tables of options, and all places that repeat them."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.netsec.calico.plugins.doc_fragments._connection import ModuleDocFragment
from ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.settings import ETCD
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.settings import KUBERNETES
from ansible_collections.netsec.calico.plugins.module_utils._datastore.calicoctl_file import _FORMATS
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import DATASTORES, list_options
from ansible_collections.netsec.calico.plugins.module_utils._datastore.settings import DATASTORE_TYPE
from ansible_collections.netsec.calico.plugins.module_utils._module.options import build_connection_options

ROOT = Path(__file__).resolve().parents[5]
PREFIX = "hostendpoints_"
BY_NAME = {option.name: option for option in list_options()}


class Loader(yaml.SafeLoader):
    """With Ansible's !unsafe."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def load(path):
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader=Loader)


def test_the_documentation_has_them_with_their_types():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    specified = build_connection_options()
    assert documented.keys() == specified.keys() == BY_NAME.keys()
    for name, spec in specified.items():
        assert {key: documented[name].get(key) for key in ("type", "elements", "choices")} == {
            key: spec.get(key) for key in ("type", "elements", "choices")
        }, name


def test_calicoctls_file_has_their_keys():
    of_v3 = {"calicoAPIGroup", "k8sCurrentContext"}
    for option in BY_NAME.values():
        formats = _FORMATS[1:] if option.file_key in of_v3 else _FORMATS
        assert not option.file_key or all(option.file_key in each.spec for each in formats), option.name


def test_the_environment_variables_are_documented():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    for option in BY_NAME.values():
        text = " ".join(documented[option.name]["description"])
        for variable in option.list_variables():
            assert "E(%s)" % variable in text, variable
            assert option.variables or variable.startswith("CALICO_") or "E(CALICO_%s)" % variable in text, variable


def test_the_role_has_them():
    role = ROOT / "roles" / "hostendpoints"
    options = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    connection = load(role / "vars" / "main.yml")["__hostendpoints_connection"]
    for name, spec in build_connection_options().items():
        variable = PREFIX + (BY_NAME[name].role_variable or name)
        own = options[variable]
        assert connection[name] == variable
        assert own["type"] in (spec["type"], "str", "list", "raw") and own.get("choices") in (None, spec.get("choices"))


def credential_type(name):
    (found,) = [each for each in load("playbooks/vars/awx.yml")["controller_credential_types"] if each["name"] == name]
    return found


def test_the_awx_credential_for_etcd_has_them():
    credential = credential_type("Calico etcd")
    types = next(field for field in credential["inputs"]["fields"] if field["id"] == "datastore_type")
    assert types["choices"] == [name for name, each in DATASTORES.items() if each.family is ETCD]
    options = [DATASTORE_TYPE, *ETCD.options]
    variables = {"CALICO_" + variable for option in options for variable in option.list_variables()}
    assert credential["injectors"]["env"].keys() == variables


def test_the_awx_credential_for_kubernetes_selects_the_datastore():
    """AWX has a type of its own for the host and the token."""
    environment = credential_type("Calico on Kubernetes")["injectors"]["env"]
    known = {variable for option in KUBERNETES.options for variable in option.list_variables()}
    assert environment.pop("CALICO_DATASTORE_TYPE") == "kubernetes" and environment.keys() <= known
    of_awx = {"K8S_AUTH_HOST", "K8S_AUTH_API_KEY", "K8S_AUTH_VERIFY_SSL", "K8S_AUTH_SSL_CA_CERT"}
    assert of_awx <= known and not of_awx & environment.keys()
