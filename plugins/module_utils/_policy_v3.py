# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, tiers, profiles and network sets of Calico v3's data model, as its Felix reads them.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3, and what libcalico-go/lib/backend/syncersv1/updateprocessors
make of it for Felix. What calicoctl would not store is not guessed at: such an object makes what depends on it unknown.
Staged policies never count, and a NetworkPolicy selects no host endpoint.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from . import _json
from ._datastore._documents import Documents
from ._errors import shown
from ._felix import calico_version
from ._hostendpoint import V3
from ._policy import (
    ALLOW,
    ANY_KIND,
    DENY,
    EGRESS,
    INGRESS,
    LOG,
    PASS,
    Entity,
    Member,
    Policy,
    Profile,
    Rule,
    Rulebook,
    Rules,
    Tier,
)
from ._policy_fields import doubtful, governs_of, kind_of, protocol_of, range_of, rules_of, with_fatal
from ._selector import Selector, SelectorError, parse
from ._traffic import WITH_PORTS, Net, Ports, net_of

_ACTIONS = {"Allow": ALLOW, "Deny": DENY, "Log": LOG, "Pass": PASS}
_TYPES = {"Ingress": INGRESS, "Egress": EGRESS}
_DEFAULT = "default"
_NAMESPACE, _SERVICE_ACCOUNT = "projectcalico.org/namespace", "projectcalico.org/serviceaccount"

Version = Optional[Tuple[int, int, int]]
# Before, there are no tiers, and the field is not known.
_TIERS_SINCE = (3, 29, 0)
# Since then, policies of the same order are asked in the order of "name//kind".
_NAME_AND_KIND_SINCE = (3, 32, 0)
# The profile that Calico has, and nobody stores.
_DEFAULT_ALLOW = "projectcalico-default-allow"
_DEFAULT_ALLOW_SINCE = (3, 14, 0)


class _Unreadable(ValueError):
    """What is not as calicoctl stores it."""


def rulebook_v3(documents: Documents) -> Rulebook:
    """All that is stored of policies, as Felix sees it."""
    version = calico_version(documents)
    policies = [_policy(name, value, version) for name, value in documents.policies]
    tiers = _tiers(documents, policies, version)
    members, doubt = _members(documents)
    return Rulebook(
        api_version=V3,
        tiers=tiers,
        policies={tier.name: _sorted([each for each in policies if each.tier == tier.name], version) for tier in tiers},
        profiles=_profiles(documents, version),
        members=members,
        workloads={},
        members_doubt=doubt,
    )


# --- Tiers and policies ---


def _tiers(documents: Documents, policies: List[Policy], version: Version) -> List[Tier]:
    """In the order in which they are asked: by order, those without one last, then by name."""
    found = {_DEFAULT: Tier(_DEFAULT, None, DENY)}
    for name, value in documents.tiers.items():
        try:
            spec = _json.struct(_json.struct(_json.load(value), "the tier").get("spec"), "its spec")
            order = _json.number(spec["order"], "order") if "order" in spec else None
            action = PASS if _json.text(spec, "defaultaction") == "Pass" else DENY
            found[name] = Tier(name, order, action)
        except ValueError:
            found[name] = Tier(name, None, DENY)
    for policy in policies:
        # Felix asks the policies of a tier that is missing last.
        found.setdefault(policy.tier, Tier(policy.tier, None, DENY))
    stored = set(documents.tiers) if version and version >= _TIERS_SINCE else set(found)
    return sorted(
        found.values(), key=lambda tier: (tier.name not in stored, tier.order is None, tier.order or 0.0, tier.name)
    )


def _sorted(policies: List[Policy], version: Version) -> List[Policy]:
    def name(policy: Policy) -> bytes:
        stored = policy.name[len(policy.tier) + 1 :] if policy.tier == _DEFAULT else policy.name
        behind = "//GlobalNetworkPolicy" if version and version >= _NAME_AND_KIND_SINCE else ""
        return (stored + behind).encode("utf-8", "surrogatepass")

    return sorted(policies, key=lambda policy: (policy.order is None, policy.order or 0.0, name(policy)))


def _policy(name: str, value: str, version: Version) -> Policy:
    tier, order, shown_name, kind = _DEFAULT, float("-inf"), name, ANY_KIND
    try:
        fields = _json.struct(_json.load(value), "the policy")
        spec = _json.struct(fields.get("spec"), "its spec")
        tier = _json.text(spec, "tier") or _DEFAULT
        order = _json.number(spec["order"], "order") if "order" in spec else None
        shown_name = _name(name, tier, _json.struct(fields.get("metadata"), "its metadata"))
        kind = kind_of(_json.flag(spec, "donottrack"), _json.flag(spec, "prednat"))
        if tier != _DEFAULT and (version is None or version < _TIERS_SINCE):
            raise _Unreadable("it is in tier {0}, and there are tiers since Calico v3.29".format(tier))
        return Policy(
            name=shown_name,
            selector=_policy_selector(spec),
            rules=_rules(spec),
            governs=_governs(spec, kind),
            kind=kind,
            on_forward=_json.flag(spec, "applyonforward"),
            order=order,
            tier=tier,
        )
    except (ValueError, SelectorError) as exc:
        return doubtful(shown_name, str(exc), kind, order, tier)


def _name(name: str, tier: str, metadata: Mapping[str, Any]) -> str:
    """The tier and the name, whatever of it is in the key (libcalico-go, model/keys.go, determinePolicyName)."""
    annotations = _json.mapping(metadata.get("annotations"), "annotations")
    original = annotations.get("projectcalico.org/metadata")
    if original:
        name = _json.text(_json.struct(_json.load(original)), "name") or name
    elif tier == _DEFAULT and name.startswith(_DEFAULT + "."):
        name = name[len(_DEFAULT) + 1 :]
    return name if tier != _DEFAULT and name.startswith(tier + ".") else "{0}.{1}".format(tier, name)


def _governs(spec: Mapping[str, Any], kind: str) -> FrozenSet[str]:
    types = _json.texts(spec, "types")
    unknown = [each for each in types if each not in _TYPES]
    if unknown:
        raise _Unreadable("types has {0}".format(shown(unknown[0])))
    return governs_of([_TYPES[each] for each in types], kind)


def _policy_selector(spec: Mapping[str, Any]) -> Selector:
    """The endpoints that a policy selects, those of namespaces and service accounts among them."""
    text = _json.text(spec, "selector")
    namespaces, accounts = _json.text(spec, "namespaceselector"), _json.text(spec, "serviceaccountselector")
    if not namespaces and not accounts:
        return parse(text, V3)
    parts = []
    if text:
        # Felix replaces it in the whole expression.
        parts.append(parse(text.replace("all()", "has({0})".format(_NAMESPACE)) if namespaces else text, V3))
    if namespaces:
        parts.append(_prefixed(namespaces, "pcns.", _NAMESPACE))
    if accounts:
        parts.append(_prefixed(accounts, "pcsa.", _SERVICE_ACCOUNT))
    return _both(parts)


def _prefixed(text: str, prefix: str, label: str) -> Selector:
    """A selector over the labels of a namespace or a service account, which endpoints have with a prefix."""
    if text.strip() == "all()":
        return parse("has({0})".format(label), V3)
    if text.strip() == "global()":
        return parse("!has({0})".format(label), V3)
    if "all()" in text or "global()" in text:
        raise _Unreadable("what Calico makes of the selector {0} is not known".format(shown(text)))
    inner = parse(text, V3)
    length = len(prefix)
    return Selector(
        lambda labels: inner.matches({key[length:]: labels[key] for key in labels if key.startswith(prefix)}),
        prefix + str(inner),
    )


def _both(parts: List[Selector]) -> Selector:
    if len(parts) == 1:
        return parts[0]
    tests = [part.matches for part in parts]
    return Selector(lambda labels: all(test(labels) for test in tests), " && ".join(map(str, parts)))


# --- Rules ---


def _rules(spec: Mapping[str, Any]) -> Rules:
    return {direction: tuple([_rule(item) for item in rules_of(spec, direction)]) for direction in (INGRESS, EGRESS)}


def _rule(item: Any) -> Rule:
    fields = _json.struct(item, "a rule")
    action = _json.text(fields, "action")
    if action not in _ACTIONS:
        raise _Unreadable("action is not one: {0}".format(shown(action)))
    protocol = _protocol(fields, "protocol")
    version = _json.integer(fields.get("ipversion", 0), "ipVersion", 0, 6)
    if version not in (0, 4, 6):
        raise _Unreadable("ipVersion is {0}".format(version))
    if not version and isinstance(fields.get("protocol"), str):
        version = {"icmp": 4, "icmpv6": 6}.get(fields["protocol"].lower(), 0)
    (source, source_doubt), (destination, destination_doubt) = (
        _entity(_json.struct(fields.get(end), end), protocol) for end in ("source", "destination")
    )
    rule = Rule(
        action=_ACTIONS[action],
        version=version,
        protocol=protocol,
        not_protocol=_protocol(fields, "notprotocol"),
        icmp=_icmp(fields, "icmp"),
        not_icmp=_icmp(fields, "noticmp"),
        source=source,
        destination=destination,
        doubt="it asks for HTTP" if "http" in fields else source_doubt or destination_doubt,
    )
    return with_fatal(rule)


def _protocol(fields: Mapping[str, Any], key: str) -> int:
    item = fields.get(key)
    return protocol_of(item.lower() if isinstance(item, str) else item, key)


def _icmp(fields: Mapping[str, Any], key: str) -> Optional[Tuple[int, Optional[int]]]:
    inner = _json.struct(fields.get(key), key)
    code = _json.integer(inner["code"], key, 0, 255) if "code" in inner else None
    return (_json.integer(inner["type"], key, 0, 254), code) if "type" in inner else None


def _entity(fields: Mapping[str, Any], protocol: int) -> Tuple[Entity, str]:
    """What is asked of one end, and why it is not certain what that is."""
    ports, port_names = _ports(fields, "ports")
    not_ports, not_port_names = _ports(fields, "notports")
    if (ports or port_names or not_ports or not_port_names) and protocol not in WITH_PORTS:
        raise _Unreadable("ports are given without a protocol that has some")
    not_selector = _json.text(fields, "notselector")
    entity = Entity(
        nets=_nets(fields, "nets"),
        not_nets=_nets(fields, "notnets"),
        selectors=_selectors(fields, not_selector),
        not_selectors=(parse(not_selector, V3),) if not_selector else (),
        ports=ports,
        port_names=port_names,
        not_ports=not_ports,
        not_port_names=not_port_names,
    )
    return entity, "it asks for a service of Kubernetes" if "services" in fields else ""


def _selectors(fields: Mapping[str, Any], not_selector: str) -> Tuple[Selector, ...]:
    """All that an endpoint must be selected by, as one (updateprocessors/rules.go, getEndpointSelector)."""
    parts = []
    namespaces, text = _json.text(fields, "namespaceselector"), _json.text(fields, "selector")
    if namespaces:
        parts.append(_prefixed(namespaces, "pcns.", _NAMESPACE))
    accounts = _json.struct(fields.get("serviceaccounts"), "serviceAccounts")
    if _json.text(accounts, "selector"):
        parts.append(_prefixed(accounts["selector"], "pcsa.", _SERVICE_ACCOUNT))
    names = _json.texts(accounts, "names")
    if names:
        listed = frozenset(names)
        parts.append(Selector(lambda labels: labels.get(_SERVICE_ACCOUNT) in listed, "in " + repr(sorted(listed))))
    if text:
        parts.append(parse(text, V3))
    return (_both(parts),) if parts else ()


def _nets(fields: Mapping[str, Any], key: str) -> Tuple[Net, ...]:
    return tuple([net_of(text) for text in _json.texts(fields, key)])


def _ports(fields: Mapping[str, Any], key: str) -> Tuple[Tuple[Ports, ...], Tuple[str, ...]]:
    """Numbers, and names."""
    numbers: List[Ports] = []
    names: List[str] = []
    for item in _json.items(fields, key):
        if not isinstance(item, str):
            port = _json.integer(item, key, 1, 65535)
            numbers.append((port, port))
            continue
        found = range_of(item)
        if min(found) >= 1 and found[0] <= found[1]:
            numbers.append(found)
        elif ":" in item or item.isdigit():
            raise _Unreadable("{0} has what is not a port: {1}".format(key, shown(item)))
        else:
            names.append(item)
    return tuple(numbers), tuple(names)


# --- Profiles ---


def _profiles(documents: Documents, version: Version) -> Dict[str, Profile]:
    found = {name: _profile(parts[""]) for name, parts in documents.profiles.items()}
    if version is None or version >= _DEFAULT_ALLOW_SINCE:
        everything: Rules = {INGRESS: (Rule(),), EGRESS: (Rule(),)}
        doubt = "" if version else "Calico has it built in since v3.14, and its version is not known"
        found[_DEFAULT_ALLOW] = Profile(everything, {}, doubt)
    return found


def _profile(value: str) -> Profile:
    try:
        spec = _json.struct(_json.struct(_json.load(value), "the profile").get("spec"), "its spec")
        return Profile(_rules(spec), _json.mapping(spec.get("labelstoapply"), "labelsToApply"))
    except (ValueError, SelectorError) as exc:
        return Profile(None, {}, str(exc))


# --- What selectors in rules select, but host endpoints ---


def _members(documents: Documents) -> Tuple[List[Member], str]:
    readers: List[Tuple[Callable[..., Optional[Member]], Tuple[str, ...]]] = []
    readers += [(_network_set, stored) for stored in documents.network_sets]
    readers += [(_workload, stored[1:]) for stored in documents.workloads]
    found, doubt = [], ""
    for read, stored in readers:
        try:
            member = read(*stored)
        except ValueError as exc:
            doubt = "a network set or a workload cannot be read: {0}".format(exc)
            continue
        if member:
            found.append(member)
    return found, doubt


def _network_set(namespace: str, _name_of_key: str, value: str) -> Member:
    fields = _json.struct(_json.load(value), "the network set")
    labels = _json.mapping(_json.struct(fields.get("metadata"), "its metadata").get("labels"), "labels")
    nets = [net_of(text) for text in _json.texts(_json.struct(fields.get("spec"), "its spec"), "nets")]
    if not namespace:
        return Member(labels, (), (), tuple(nets))
    return Member(dict(labels, **{_NAMESPACE: namespace}), ("kns." + namespace,), (), tuple(nets))


def _workload(value: str) -> Optional[Member]:
    """None for one without an address, which Felix passes over."""
    fields = _json.struct(_json.load(value), "the workload")
    spec = _json.struct(fields.get("spec"), "its spec")
    labels = _json.mapping(_json.struct(fields.get("metadata"), "its metadata").get("labels"), "labels")
    labels = {key: text for key, text in labels.items() if not key.startswith(("pcns.", "pcsa."))}
    if _json.text(spec, "serviceaccountname"):
        labels[_SERVICE_ACCOUNT] = spec["serviceaccountname"]
    nets = [net_of(text) for text in _json.texts(spec, "ipnetworks")]
    ports = [_json.struct(item, "a port") for item in _json.items(spec, "ports")]
    named = [
        (_json.text(each, "name"), _protocol(each, "protocol"), _json.integer(each.get("port", 0), "port", 0, 65535))
        for each in ports
    ]
    addresses = tuple([(version, first) for version, first, last in nets if first == last])
    if not nets:
        return None
    return Member(labels, tuple(_json.texts(spec, "profiles")), addresses, tuple(nets), tuple(named))
