# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supported datastores. A new datastore has its own files and a row in DATASTORES."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from .._core.errors import InvalidInput, format_message, get_option_name, shown
from .._resources.api_version import V1, V3, V3_KUBERNETES, ApiVersion
from ._etcd.settings import ETCD
from ._kubernetes.settings import KUBERNETES
from .base import Datastore
from .settings import (
    DATASTORE_TYPE,
    GENERAL_OPTIONS,
    Family,
    Given,
    Option,
    Settings,
    check_not_empty,
    read_given,
    read_timeout,
)


def _open_etcdv2(settings: Any) -> Datastore:
    # Only this client library may be installed.
    from .etcdv2 import EtcdV2Datastore  # pylint: disable=import-outside-toplevel

    return EtcdV2Datastore(settings)


def _open_etcdv3(settings: Any) -> Datastore:
    # As above.
    from .etcdv3 import EtcdV3Datastore  # pylint: disable=import-outside-toplevel

    return EtcdV3Datastore(settings)


def _open_kubernetes(settings: Any) -> Datastore:
    # As above.
    from .kubernetes import KubernetesDatastore  # pylint: disable=import-outside-toplevel

    return KubernetesDatastore(settings)


class DatastoreType(NamedTuple):
    """A value of the option datastore_type."""

    # The API version of the stored resources.
    api_version: ApiVersion
    family: Family
    # With the settings that the family builds.
    open: Callable[[Any], Datastore]


DEFAULT = "etcdv2"
DATASTORES: Dict[str, DatastoreType] = {
    "etcdv2": DatastoreType(V1, ETCD, _open_etcdv2),
    "etcdv3": DatastoreType(V3, ETCD, _open_etcdv3),
    "kubernetes": DatastoreType(V3_KUBERNETES, KUBERNETES, _open_kubernetes),
}


def list_options() -> Tuple[Option, ...]:
    """The connection options of all datastores."""
    return (*GENERAL_OPTIONS, *(option for family in _list_families() for option in family.options))


def build_settings(options: Mapping[str, Any], variables: Mapping[str, str]) -> Settings:
    """The settings that the options, the environment's variables and calicoctl's file give.

    Raises InvalidInput, with the source, for an invalid setting.
    """
    given = read_given(options, variables, _list_families())
    datastore_type = _find_type(given)
    _check_family(options, datastore_type, given.get_source("datastore_type"))
    if not given.path:
        check_not_empty(given, DATASTORE_TYPE.name, ["DATASTORE_TYPE"], DEFAULT)
    return DATASTORES[datastore_type].family.build(given, datastore_type, read_timeout(options))


def find_api_version(options: Mapping[str, Any], variables: Mapping[str, str]) -> ApiVersion:
    """The API version of the datastore that these settings name, whether or not they reach it. Raises InvalidInput."""
    return DATASTORES[_find_type(read_given(options, variables, _list_families()))].api_version


def _find_type(given: Given) -> str:
    found: str = given.values.get("datastore_type", DEFAULT)
    if found not in DATASTORES:
        text = "{datastore_type} ({0}): {1} is not a datastore type; set it to {2}"
        source = given.get_source("datastore_type")
        raise InvalidInput([format_message(text, source, shown(found), " or ".join(DATASTORES))])
    return found


def _check_family(options: Mapping[str, Any], datastore_type: str, source: str) -> None:
    """Raise InvalidInput for an option of the task that another datastore has: it would have no effect."""
    own = DATASTORES[datastore_type].family
    for other, each in DATASTORES.items():
        given = [option.name for option in each.family.options if options.get(option.name) is not None]
        if each.family is not own and given:
            text = (
                "{0} (option) has no effect on {datastore_type} {1} ({2}); set {datastore_type} to {3}, or remove {0}"
            )
            raise InvalidInput([format_message(text, get_option_name(given[0]), datastore_type, source, other)])


def find_misplaced_secrets(options: Mapping[str, Any]) -> List[str]:
    """Values of options that may hold a secret although they must not."""
    return [secret for family in _list_families() for secret in family.find_misplaced_secrets(options)]


def find_harmless(options: Mapping[str, Any]) -> List[str]:
    """Values of no_log options that are not secret."""
    return [value for family in _list_families() for value in family.find_harmless(options)]


def list_redacted(options: Mapping[str, Any]) -> Dict[str, Any]:
    """{option: its value as a result repeats it}, of options with a part that may be secret."""
    found: Dict[str, Any] = {}
    for family in _list_families():
        found.update(family.list_redacted(options))
    return found


def open_datastore(settings: Settings) -> Datastore:
    """The datastore of these settings."""
    return DATASTORES[settings.datastore_type].open(settings)


def get_api_version(settings: Settings) -> ApiVersion:
    """The API version of the resources in the datastore of these settings."""
    return DATASTORES[settings.datastore_type].api_version


def _list_families() -> Tuple[Family, ...]:
    return tuple({id(each.family): each.family for each in DATASTORES.values()}.values())
