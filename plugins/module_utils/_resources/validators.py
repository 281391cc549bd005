# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that all API versions share."""

from __future__ import annotations

from typing import Callable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from .._core.ip import is_address
from .hostendpoint import HostEndpoint, Port
from .resource import CALICO_OWNER_LABEL, Problem, Ref

# etcd accepts 1.5 MB in a request by default (--max-request-bytes), and its v3 gateway encodes a value as base64.
MOST_BYTES = 1000000
# Maximum for all annotations of an object, keys and values (k8s.io/apimachinery, pkg/api/validation).
MOST_ANNOTATION_BYTES = 256 * 1024
# A label's key in the selectors of both API versions, which is Calico v1's only rule for a key (libcalico-go
# release-v2.6, lib/selector/tokenizer, LabelKeyMatcher, which lib/validator uses as well).
LABEL_LETTER = "[a-zA-Z0-9_./-]"
LABEL_KEY = LABEL_LETTER + "{1,512}"


_NOTHING_TO_MATCH: Problem = (
    "interface_name",
    "",
    "is missing: an endpoint requires interface_name, expected_ips or both",
)


class Validators(NamedTuple):
    """The rules of one API version for host endpoints; each returns the problems that it finds.

    Where the collection is stricter than Calico on purpose, a comment states the reason.
    """

    # For a node or a name: the option and its value.
    key_part: Callable[[str, str], List[Problem]]
    ref: Callable[[Ref], List[Problem]]
    labels: Callable[[Tuple[Tuple[str, str], ...]], List[Problem]]
    interface: Callable[[str], List[Problem]]
    profiles: Callable[[Tuple[str, ...]], List[Problem]]
    ports: Callable[[Tuple[Port, ...]], List[Problem]]
    annotations: Callable[[Mapping[str, str]], List[Problem]]
    # For a stored endpoint: why Felix treats it as missing.
    felix: Callable[[HostEndpoint], List[Problem]]

    def endpoint(self, endpoint: HostEndpoint) -> List[Problem]:
        """All problems of an endpoint; for an endpoint that is too large, only that."""
        labels, addresses = endpoint.labels, endpoint.expected_ips
        return _size(endpoint) or [
            *self.key_part("node", endpoint.node),
            *self.key_part("name", endpoint.name),
            *self.labels(tuple(labels.items())),
            *(_calicos_label(endpoint) if CALICO_OWNER_LABEL in labels else ()),
            *self.interface(endpoint.interface_name),
            *(() if all(map(is_address, addresses)) else _addresses(addresses)),
            *self.profiles(endpoint.profiles),
            *(self.ports(endpoint.ports) if endpoint.ports else ()),
            *(self.annotations(endpoint.annotations) if endpoint.annotations else ()),
            *(() if endpoint.interface_name or addresses else (_NOTHING_TO_MATCH,)),
        ]

    def label(self, key: str, value: str) -> List[Problem]:
        """All problems of a label."""
        endpoint = HostEndpoint(labels={key: value})
        return _size(endpoint) or [*self.labels(((key, value),)), *_calicos_label(endpoint)]


def _calicos_label(endpoint: HostEndpoint) -> List[Problem]:
    if CALICO_OWNER_LABEL not in endpoint.labels:
        return []
    rule = "is Calico's own label: its controllers would adopt and delete the endpoint"
    return [("labels", CALICO_OWNER_LABEL, rule)]


def annotation_bytes(annotations: Mapping[str, str]) -> int:
    """The size of all keys and values in UTF-8. Raises UnicodeEncodeError for an unpaired surrogate."""
    return sum(len(key.encode("utf-8")) + len(value.encode("utf-8")) for key, value in annotations.items())


def dots_as_interface(interface: str) -> List[Problem]:
    if interface not in (".", ".."):
        return []
    return [("interface_name", interface, "is not allowed: Linux has no interface of that name")]


def _addresses(addresses: Sequence[str]) -> List[Problem]:
    rule = "is not a valid IP address; use a plain IPv4 or IPv6 address, without prefix length or zone"
    return [
        ("expected_ips[{0}]".format(index), address, rule)
        for index, address in enumerate(addresses)
        if not is_address(address)
    ]


def _size(endpoint: HostEndpoint) -> List[Problem]:
    labels, ports = endpoint.labels, endpoint.ports
    texts = [endpoint.name, endpoint.node, endpoint.interface_name, *labels, *labels.values()]
    texts += [*endpoint.expected_ips, *endpoint.profiles, *endpoint.annotations, *endpoint.annotations.values()]
    total = len("".join(texts)) + 10 * len(texts)
    if ports:
        total += sum([len(port.name) + len(port.protocol) + 40 for port in ports])
    return find_size_problems(total)


def find_size_problems(total: int) -> List[Problem]:
    """Whether a resource with so many bytes is too large for etcd, and so for a Kubernetes API server."""
    if total <= MOST_BYTES:
        return []
    rule = "is too many bytes for all fields together: etcd, also behind a Kubernetes API server, accepts about {0}"
    return [("size", total, rule.format(MOST_BYTES))]


def find_duplicates(texts: Sequence[str], where: str) -> Iterator[Problem]:
    """A problem for each string that is also before it in the list."""
    seen = set()
    for index, text in enumerate(texts):
        if text in seen:
            yield "{0}[{1}]".format(where, index), text, "is not allowed twice: remove it"
        seen.add(text)
