# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an answer of a Kubernetes API server means, and what to do about an error.

The HTTP status and the reason of the Status object decide, never its message (k8s.io/apimachinery, api/errors).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple

from ..._core.errors import DatastoreError, brief, format_message, shown
from .transport import ApiAnswer

# Seconds between two tries of a request, unless the server names them.
PAUSE = 0.2
_FIELDS_SHOWN = 5
_MESSAGE = 400


class ApiRequest(NamedTuple):
    """What was asked, in the words of RBAC."""

    verb: str
    # A plural name, or a path.
    resource: str
    # GROUP/VERSION, "v1" for Kubernetes' core, or "" for a path.
    api: str = ""

    @property
    def group(self) -> str:
        return self.api.partition("/")[0] if "/" in self.api else ""

    def __str__(self) -> str:
        name = "{0}.{1}".format(self.resource, self.group) if self.group else self.resource
        return "{0} {1}".format(self.verb, name)

    def format_rule(self) -> str:
        """The rule of a ClusterRole that allows the request, as YAML on one line."""
        if not self.api:
            return '{{nonResourceURLs: ["{0}"], verbs: [get]}}'.format(self.resource)
        resources = self.resource
        if self.group == "projectcalico.org" and resources.endswith("networkpolicies"):
            # calico-apiserver, or Calico's webhook beside the native CRDs, checks policies by their tier as well.
            resources += ", tier." + resources
        return "{{apiGroups: [{0}], resources: [{1}], verbs: [{2}]}}".format(self.group or '""', resources, self.verb)


def is_named_missing(answer: ApiAnswer) -> bool:
    """Whether a single object does not exist, while its kind does: the answer for an unknown kind has no details."""
    if answer.status != 404:
        return False
    return bool(_get_details(answer).get("name"))


def _get_details(answer: ApiAnswer) -> Dict[str, Any]:
    details = answer.document.get("details")
    return details if isinstance(details, dict) else {}


def explain(answer: ApiAnswer, request: ApiRequest) -> str:
    """What the answer means, in one sentence or two."""
    return _EXPLANATIONS.get(answer.status, _explain_other)(answer, request)


def _get_message(answer: ApiAnswer) -> str:
    document = answer.document
    text = document.get("message") if document else answer.body[:_MESSAGE].decode("utf-8", "replace").strip()
    return brief(str(text or "no message"), _MESSAGE)


def _explain_unauthorized(answer: ApiAnswer, request: ApiRequest) -> str:
    return format_message(
        "the API server rejects the credentials (401): a token may have expired, or belong to another cluster; check "
        "{api_key}, or the user of the kubeconfig"
    )


def _explain_forbidden(answer: ApiAnswer, request: ApiRequest) -> str:
    message = _get_message(answer)
    if "system:anonymous" in message:
        text = (
            "{0}. No credentials were sent: set {api_key}, or a client certificate, where the cluster is named; those "
            "of a weaker source belong to its own cluster"
        )
        return format_message(text, message)
    kind = _get_details(answer).get("kind")
    if kind in _IMPERSONATED:
        rule = '{{apiGroups: [""], resources: [{0}], verbs: [impersonate]}}'.format(kind)
        return "{0}. To allow it, add this rule to a ClusterRole of the user: {1}".format(message, rule)
    text = "{0}. To allow it, add this rule to a ClusterRole of the user: {1}"
    return text.format(_get_message(answer), request.format_rule())


_IMPERSONATED = ("users", "groups", "serviceaccounts")


def _explain_missing(answer: ApiAnswer, request: ApiRequest) -> str:
    if is_named_missing(answer):
        return "{0}: {1}".format(request, _get_message(answer))
    text = (
        "the API server has no {0} in {1}: Calico's resources of this API are not installed, or this version of Calico "
        "has no such kind ({2})"
    )
    return text.format(request.resource, request.api or "its paths", _get_message(answer))


def _explain_conflict(answer: ApiAnswer, request: ApiRequest) -> str:
    return "{0}: another client was faster: {1}".format(request, _get_message(answer))


def _explain_invalid(answer: ApiAnswer, request: ApiRequest) -> str:
    """The server's own errors by field."""
    given = _get_details(answer).get("causes")
    causes: List[Mapping[str, Any]] = [
        cause for cause in (given if isinstance(given, list) else ()) if isinstance(cause, dict)
    ]
    fields = [
        "{0}: {1}".format(brief(cause.get("field", ""), 200), brief(cause.get("message", ""), 200)) for cause in causes
    ]
    if not fields:
        return "the API server rejects it: " + _get_message(answer)
    more = " and {0} more".format(len(fields) - _FIELDS_SHOWN) if len(fields) > _FIELDS_SHOWN else ""
    return "the API server rejects it: {0}{1}".format("; ".join(fields[:_FIELDS_SHOWN]), more)


def _explain_large(answer: ApiAnswer, request: ApiRequest) -> str:
    return "the object is larger than the API server accepts (3 MiB by default): " + _get_message(answer)


def _explain_busy(answer: ApiAnswer, request: ApiRequest) -> str:
    return "the API server is too busy (429), even after a wait: {0}; try again later".format(_get_message(answer))


def _explain_unavailable(answer: ApiAnswer, request: ApiRequest) -> str:
    text = _get_message(answer)
    if request.api == "projectcalico.org/v3" or request.resource == "/apis/projectcalico.org/v3":
        text += (
            ". If calico-apiserver is down, start it again; calico_api_group crd.projectcalico.org/v1 uses the data "
            "behind it, without its validation"
        )
    return text


def _explain_other(answer: ApiAnswer, request: ApiRequest) -> str:
    return "{0}: unexpected answer {1}: {2}".format(request, answer.status, _get_message(answer))


def _explain_bad(answer: ApiAnswer, request: ApiRequest) -> str:
    text = "the API server rejects the request: " + _get_message(answer)
    if request.verb == "list" and request.group == "projectcalico.org":
        text += (
            ". If one stored object has a value that Calico cannot read, such as a protocol above 255, "
            "calico-apiserver lists none; with calico_api_group crd.projectcalico.org/v1, an audit names the object"
        )
    return text


_EXPLANATIONS: Dict[int, Callable[[ApiAnswer, ApiRequest], str]] = {
    400: _explain_bad,
    401: _explain_unauthorized,
    403: _explain_forbidden,
    404: _explain_missing,
    409: _explain_conflict,
    413: _explain_large,
    422: _explain_invalid,
    429: _explain_busy,
    503: _explain_unavailable,
}


def get_list(document: Mapping[str, Any], key: str) -> List[Dict[str, Any]]:
    """The objects of a list, which is null where it is empty. Raises DatastoreError for anything else."""
    found = document.get(key)
    if found is None and key in document and str(document.get("kind")).endswith("List"):
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DatastoreError("the API server's answer has no list of {0}; is it a Kubernetes API server?".format(key))
    return found


def check_object(document: Dict[str, Any], name: str | None = None, is_stored: bool = True) -> Dict[str, Any]:
    """The object, which has this name, if any, and a revision if it is stored. Raises DatastoreError."""
    metadata: Any = document.get("metadata")
    is_complete = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
    if not is_complete or is_stored and not isinstance(metadata.get("resourceVersion"), str):
        raise DatastoreError("the API server's answer is not an object; is it a Kubernetes API server?")
    if name is not None and not _are_alike(name, metadata["name"]):
        text = "the API server's answer is about {0} instead of {1}; is a proxy or a balancer in front of it broken?"
        raise DatastoreError(text.format(shown(metadata["name"]), shown(name)))
    return document


def _are_alike(one: str, other: str) -> bool:
    """Whether two names may be of the same object: calico-apiserver may add or omit the tier of a policy."""
    return one == other or one.endswith("." + other) or other.endswith("." + one)


def get_pause(answer: ApiAnswer) -> float:
    """Seconds before another try."""
    text = answer.headers.get("Retry-After") or ""
    return float(text) if text.isdecimal() and len(text) < 6 else PAUSE
