# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes Calico's manifests of host endpoints, in both API versions.

v1: libcalico-go release-v2.6, lib/api/hostendpoint.go; v3: projectcalico/calico, api/pkg/apis/projectcalico/v3.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Dict, FrozenSet, List, Tuple

from .._core.errors import InvalidInput, brief, shown
from .fields import parse_options, with_empty_labels
from .hostendpoint import HostEndpoint

# As a manifest's apiVersion.
V1_NAME, V3_NAME = "v1", "projectcalico.org/v3"
KINDS = {V1_NAME: "hostEndpoint", V3_NAME: "HostEndpoint"}

# Where a resource keeps each field: {section: {key: field}}.
_SPEC = {"interfaceName": "interface_name", "expectedIPs": "expected_ips", "profiles": "profiles"}
_PLACES: Dict[str, Dict[str, Dict[str, str]]] = {
    V1_NAME: {"metadata": {"name": "name", "node": "node", "labels": "labels"}, "spec": _SPEC},
    V3_NAME: {
        "metadata": {"name": "name", "labels": "labels", "annotations": "annotations"},
        "spec": dict(_SPEC, node="node", ports="ports"),
    },
}

# Keys of a resource that this collection does not manage.
_NOT_MANAGED = ("finalizers", "ownerReferences")

# Keys that the API sets and an exported manifest has.
_SET_BY_CALICO: Dict[str, FrozenSet[str]] = {
    V1_NAME: frozenset(),
    V3_NAME: frozenset(
        ["uid", "creationTimestamp", "resourceVersion", "generation", "selfLink", "managedFields"],
    ),
}


# All keys of a resource, and of each of its sections.
_TOP = frozenset(["apiVersion", "kind", "metadata", "spec"])
_KNOWN = {
    (version, section): frozenset(keys).union(_SET_BY_CALICO[version] if section == "metadata" else ())
    for version, sections in _PLACES.items()
    for section, keys in sections.items()
}

# The place of each field in messages.
_NAMES = {
    version: {
        field: "resource: {0}.{1}".format(section, key)
        for section, keys in sections.items()
        for key, field in keys.items()
    }
    for version, sections in _PLACES.items()
}

# Where the other kinds have their fields. Their status, which Calico reports, is ignored.
_PLACES_OF_OBJECT = {"metadata": {key: key for key in ("name", "labels", "annotations")}}
_NAMES_OF_OBJECT = {field: "resource: metadata." + field for field in _PLACES_OF_OBJECT["metadata"]}
_TOP_OF_OBJECT = _TOP | {"status"}
_METADATA_OF_OBJECT = _SET_BY_CALICO[V3_NAME].union(_PLACES_OF_OBJECT["metadata"])

# Synonyms of a key in Kubernetes' own resources and in other tools.
_SYNONYMS = {"hostname": "node", "nodename": "node", "host": "node"}
# The form in which Kubernetes stores Calico's resources.
_STORED_VERSION = "crd.projectcalico.org/v1"


def is_resource(item: Mapping[str, Any]) -> bool:
    """Whether a mapping is a Calico resource rather than the fields of an endpoint."""
    if "apiVersion" in item or "kind" in item:
        return True
    # A resource has its name in the metadata.
    return "name" not in item and any(isinstance(key, str) and key.lower() in ("apiversion", "kind") for key in item)


def parse_manifest(resource: Mapping[str, Any]) -> Dict[str, Any]:
    """The given fields of a resource of either generation.

    Raises InvalidInput, which names every unknown or misplaced key.
    """
    is_spelled = _TOP.issuperset(resource)
    api_version = _api_version(resource if is_spelled else spell_top(resource))
    places = _PLACES[api_version]
    problems: List[str] = []
    options = {}
    if not is_spelled:
        resource = _spelled(resource, _TOP, "", problems, places)
    for section, keys in places.items():
        content = resource.get(section)
        if content is None:
            continue
        if not isinstance(content, (dict, Mapping)):
            raise InvalidInput(["resource: {0}: {1} is not a mapping".format(section, shown(content))])
        content = _spelled(content, _KNOWN[api_version, section], section + ".", problems, places)
        for key, field in keys.items():
            if key in content:
                options[field] = content[key]
    if problems:
        raise InvalidInput(problems)
    return parse_options(options, _NAMES[api_version])


def spell_top(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sections, kind and apiVersion of a resource of any kind, by their keys in Calico's spelling."""
    return _spelled(resource, _TOP_OF_OBJECT, "", [], {})


def parse_object(manifest: Mapping[str, Any]) -> Tuple[Dict[str, Any], Any]:
    """Name, labels and annotations of a manifest of any other kind of Calico v3, and its spec as it is given.

    Raises InvalidInput, which names every unknown or misplaced key.
    """
    problems: List[str] = []
    content = _spelled(manifest, _TOP_OF_OBJECT, "", problems, _PLACES_OF_OBJECT)
    metadata = content.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, (dict, Mapping)):
        raise InvalidInput(["resource: metadata: {0} is not a mapping".format(shown(metadata))])
    metadata = _spelled(metadata, _METADATA_OF_OBJECT, "metadata.", problems, _PLACES_OF_OBJECT)
    if problems:
        raise InvalidInput(problems)
    given = {field: metadata.get(field) for field in _NAMES_OF_OBJECT}
    fields = with_empty_labels(parse_options(given, _NAMES_OF_OBJECT))
    return fields, content.get("spec")


def to_resource(endpoint: HostEndpoint, api_version: str) -> Dict[str, Any]:
    """The endpoint as a resource, without its empty fields.

    Raises InvalidInput if the API version does not support a field that is set.
    """
    resource: Dict[str, Any] = {"apiVersion": api_version, "kind": KINDS[api_version]}
    options = endpoint.as_options()
    for section, keys in _PLACES[api_version].items():
        resource[section] = {key: options.pop(field) for key, field in keys.items() if options.get(field)}
    homeless = sorted(field for field, value in options.items() if value)
    if homeless:
        raise InvalidInput(["{0}: {1} cannot be written as {2}".format(endpoint, ", ".join(homeless), api_version)])
    return resource


def _api_version(resource: Mapping[str, Any]) -> str:
    api_version, kind = resource.get("apiVersion"), resource.get("kind")
    if isinstance(api_version, str) and api_version in KINDS and kind == KINDS[api_version]:
        return api_version
    if api_version == _STORED_VERSION:
        raise InvalidInput(
            [
                "resource: apiVersion {0} is the form in which Kubernetes stores Calico's resources: did you mean "
                "apiVersion: {1}?".format(shown(api_version), V3_NAME)
            ]
        )
    raise InvalidInput(
        [
            "resource: apiVersion {0} with kind {1} is not a host endpoint; use {2}".format(
                shown(api_version),
                shown(kind),
                " or ".join("apiVersion: {0} with kind: {1}".format(*item) for item in KINDS.items()),
            )
        ]
    )


def _spelled(
    content: Mapping[str, Any],
    known: FrozenSet[str],
    prefix: str,
    problems: List[str],
    places: Mapping[str, Mapping[str, str]],
) -> Mapping[str, Any]:
    """The known keys in Calico's spelling, in any case; adds all other keys to `problems`."""
    if known.issuperset(content):
        return content
    spellings = {key.lower(): key for key in known}
    found: Dict[str, Any] = {}
    for key, value in content.items():
        spelling = spellings.get(key.lower()) if isinstance(key, str) else None
        if spelling is not None and spelling not in found:
            found[spelling] = value
        elif len(problems) < InvalidInput.SHOWN:
            twice = "is {0}{1} in another case, which is also given; keep one of the two"
            problem = twice.format(prefix, spelling) if spelling else _unknown(key, prefix, places)
            problems.append("resource: {0}{1} {2}".format(prefix, brief(key), problem))
        else:
            # It is only counted; a search for the intended key takes long.
            problems.append("is unknown")
    return found


def _unknown(key: Any, prefix: str, places: Mapping[str, Mapping[str, str]]) -> str:
    """The problem of a key that is unknown to Calico here."""
    if prefix == "metadata." and key in _NOT_MANAGED:
        return "is not managed by this collection; remove it"
    name = brief(key).lower()
    homes = [section + "." + known for section, names in places.items() for known in names]
    near = difflib.get_close_matches(_SYNONYMS.get(name, name), [home.split(".")[1].lower() for home in homes], 1, 0.75)
    homes = [home for home in homes if home.split(".")[1].lower() in near and home != prefix + str(key)]
    return "is unknown: " + ("did you mean {0}?".format(" or ".join(homes)) if homes else "Calico has no such key")
