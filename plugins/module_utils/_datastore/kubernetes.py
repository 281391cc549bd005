# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v3 data model behind a Kubernetes API server.

projectcalico/calico: libcalico-go/lib/backend/k8s. A revision is the object's resourceVersion, and every write has it
as its precondition.
"""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Sequence, Set, cast

from .._core.errors import Conflict, DatastoreError, join_first
from .._plan.plan import Change
from .._plan.stored import Codec, Stored
from .._resources._specs.spec_resource import DEFAULT_TIER
from .._resources.api_version import V3_KUBERNETES
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource
from ._kubernetes.annotation import ANNOTATION, COUNTS_SINCE, has_ignored_labels
from ._kubernetes.api_choice import ChosenApi, choose_api
from ._kubernetes.client import KindMissing, KubernetesClient, Unanswered
from ._kubernetes.codec import HostEndpointForm, drop_managed_fields, format_object
from ._kubernetes.codec_specs import SpecObjectForm
from ._kubernetes.objects import (
    PLURALS_OF_KINDS,
    build_key,
    build_made_profiles,
    build_nodes,
    build_values,
    check_is_calicos,
    find_plural,
)
from ._kubernetes.settings import KubernetesSettings
from ._kubernetes.writes import (
    Outcome,
    format_pending,
    has_become,
    make_changes,
    prepare_metadata,
    wait_for_server,
)
from ._values.calico_version import choose_version
from ._values.codec_specs_v3 import PLURALS, PLURALS_OF_POLICIES, build_codec
from .base import Datastore, State, never
from .snapshot import NONE_PLANNED, PlannedValues, PolicySnapshot, add_optional_v3, looks_at_others_v3, snapshot_v3

_CORE = "v1"
# Older versions of Calico do not have these.
_OPTIONAL = ("tiers", "stagedglobalnetworkpolicies", "stagednetworkpolicies")
# Maximum number of resources of a kind that are read one by one.
FEW = 32
# Number of names in a message.
_SHOWN = 10
_ORCHESTRATOR = '"projectcalico.org/orchestrator"'


class KubernetesDatastore(Datastore):
    api_version = V3_KUBERNETES
    # Not a host outside of the cluster.
    has_all_nodes = False
    has_dry_run = True

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._client = KubernetesClient(settings)
        # Names of objects with labels that only one place shows.
        self._unclear: Set[str] = set()

    @functools.cached_property
    def api(self) -> ChosenApi:
        """Which of Calico's APIs is used, and why."""
        return choose_api(self._client, self._settings)

    def describe(self) -> Dict[str, Any]:
        found = {"endpoints": [str(self._client)], "api": self.api.name, "api_reason": self.api.reason}
        return dict(found, **super().describe())

    def list_remarks(self) -> List[str]:
        if not self._unclear:
            return []
        text = (
            "labels of {0} were found to differ between metadata.labels, which kubectl and Calico before v3.28 read, "
            "and the annotation {1}, which Calico reads since then; an update makes both alike"
        )
        return [text.format(join_first(sorted(self._unclear), _SHOWN), ANNOTATION)]

    @functools.cached_property
    def _information(self) -> Mapping[str, Any] | None:
        """The ClusterInformation; None when it does not exist."""
        return self._client.get_object(self.api.name, "clusterinformations", "default")

    def forget_state(self) -> None:
        super().forget_state()
        self.__dict__.pop("_information", None)

    def read_state(self) -> State:
        key = "clusterinformations.{0}/default".format(self.api.group)
        if self._information is None:
            text = "{0} has no {1}: Calico has never run with this datastore; check the cluster"
            return State(warning=text.format(self._client, key))
        spec = self._information.get("spec") or {}
        cluster = str(spec.get("clusterGUID") or self._information["metadata"].get("uid", ""))
        known = {"calico_version": str(spec.get("calicoVersion", "")), "cluster": cluster}
        if spec.get("datastoreReady") is False:
            text = "datastoreReady of {0} is false: the datastore is locked, most likely for an upgrade or a migration"
            return State(locked=text.format(key), **known)
        return State(**known)

    def follow_version(self, given: str | None) -> None:
        self.calico_version = choose_version(given, self.state.calico_version)
        self.given_version = given or ""
        self._counts = self.calico_version >= COUNTS_SINCE

    @functools.cached_property
    def _counts(self) -> bool:
        """Whether labels in the metadata annotation count."""
        return choose_version(None, self.state.calico_version) >= COUNTS_SINCE

    @functools.cached_property
    def _codecs(self) -> Mapping[str, Codec]:
        has_annotation = self.api.has_metadata_annotation
        how = (self.api.name, has_annotation, has_annotation and self._counts)
        kinds = [kind for kind in PLURALS_OF_KINDS if kind != HOST_ENDPOINT]
        found = {kind: SpecObjectForm(kind, *how, self.calico_version).build_codec() for kind in kinds}
        return dict(found, **{HOST_ENDPOINT: HostEndpointForm(*how).build_codec()})

    def key(self, ref: Ref) -> str:
        return self._build_key(ref.kind, self._list_names(ref)[0])

    def _build_key(self, kind: str, name: str) -> str:
        return "{0}.{1}/{2}".format(find_plural(kind), self.api.group, name)

    def _list_names(self, ref: Ref) -> List[str]:
        """The names under which a resource may be stored, that of a new one first."""
        is_other = find_plural(ref.kind) and ref.kind != HOST_ENDPOINT and self._codecs[ref.kind].has_other_names
        return self.calico_version.list_names(ref.name) if is_other else [ref.name]

    # Reads

    def begin_to_read(self, kind: str) -> None:
        self._client.begin_list(self.api.name, find_plural(kind))

    def read(self, refs: Sequence[Ref], nodes: Collection[str], kinds: Collection[str] = ()) -> List[Stored]:
        wanted: Dict[str, List[Ref]] = {kind: [] for kind in kinds}
        if nodes:
            wanted.setdefault(HOST_ENDPOINT, [])
        for ref in refs:
            wanted.setdefault(ref.kind, []).append(ref)
        found: List[Stored] = []
        for kind, given in wanted.items():
            if not given and kind in kinds:
                found += self.list_kind(kind)
            elif kind in kinds or len(given) > FEW or (nodes and kind == HOST_ENDPOINT):
                found += self._list_all(kind)
            else:
                found += [stored for ref in given for stored in self._find(ref)]
        return found

    def get(self, ref: Ref) -> Stored | None:
        return next(self._find(ref), None)

    def _find(self, ref: Ref) -> Iterator[Stored]:
        """What is stored for a resource under its names, under that of a new one first."""
        for number, name in enumerate(self._list_names(ref)):
            found = self._client.get_object(self.api.name, find_plural(ref.kind), name)
            if found and (not number or self._stored(ref.kind, found).own_ref == ref):
                yield self._stored(ref.kind, found)

    def list(self, node: str = "") -> List[Stored]:
        # An unreadable endpoint may belong to any node.
        found = [stored for stored in self._list_all(HOST_ENDPOINT) if not node or stored.error or stored.node == node]
        return sorted(found, key=lambda stored: (stored.node, stored.name))

    def _list_all(self, kind: str) -> List[Stored]:
        """Raises KindMissing where the cluster has no such kind."""
        convert = functools.partial(self._stored, kind)
        return self._client.list_objects(self.api.name, find_plural(kind), convert)

    def _stored(self, kind: str, document: Dict[str, Any]) -> Stored:
        metadata = document["metadata"]
        name = metadata["name"]
        if self.api.has_metadata_annotation and has_ignored_labels(metadata, self._counts):
            self._unclear.add(name)
        return Stored(
            self._build_key(kind, name),
            metadata["resourceVersion"],
            drop_managed_fields(document),
            "",
            name,
            self._codecs[kind],
            pending=format_pending(metadata),
        )

    def list_kind(self, kind: str) -> List[Stored]:
        """Of profiles, those that Calico makes of namespaces and service accounts."""
        if kind in PLURALS_OF_KINDS:
            return self._list_objects(PLURALS_OF_KINDS[kind], functools.partial(self._stored, kind))
        if kind not in PLURALS:
            return super().list_kind(kind)
        check_is_calicos(kind)
        values, codec = self._read_values(PLURALS[kind]), build_codec(kind)
        names = {key.rpartition("/")[2]: value for key, value in values.items()}
        key = "{0}.{1}/{2}".format(PLURALS[kind], self.api.group, "{0}")
        return [Stored(key.format(name), "", value, "", name, codec) for name, value in names.items()]

    def read_tiers_in_use(self) -> Dict[str, List[Ref]]:
        found: Dict[str, List[Ref]] = {}
        for kind, plural in PLURALS_OF_POLICIES.items():
            for item in self._list_objects(plural):
                tier = str((item.get("spec") or {}).get("tier") or DEFAULT_TIER)
                found.setdefault(tier, []).append(Ref(kind, item["metadata"]["name"]))
        return found

    def known_nodes(self) -> List[str]:
        return self._client.list_names(_CORE, "nodes")

    def felix_nodes(self) -> Dict[str, bool]:
        raise DatastoreError("a host outside of the cluster has no record in the Kubernetes datastore")

    def read_policies(
        self, node: str = "", declared: Sequence[Resource] = (), planned: PlannedValues = NONE_PLANNED
    ) -> PolicySnapshot:
        values: Dict[str, str] = {}
        for plural in ("clusterinformations", "globalnetworkpolicies", "tiers", "felixconfigurations"):
            values.update(self._read_values(plural))
        endpoints = self.list()
        texts = [stored.value for stored in endpoints]
        texts += [format_object(self._codecs[HOST_ENDPOINT].encode(each, None)) for each in declared]
        values.update(build_made_profiles(self._list_core, texts))
        if looks_at_others_v3(snapshot_v3(values, endpoints).beside(planned)):
            for plural in ("globalnetworksets", "networksets"):
                values.update(self._read_values(plural))
        # Kubernetes' own policies, which are not read, select endpoints with this label.
        unread = {"networkpolicies"} if any(_ORCHESTRATOR in text for text in texts) else set()
        unread = add_optional_v3(values, endpoints, self._read_values, unread, planned)
        return snapshot_v3(values, endpoints, unread, self.given_version)

    def build_policy_values(self, change: Change) -> Dict[str, str | None]:
        plural, document = find_plural(change.ref.kind), self._build_document(change)
        if document is None:
            return {build_key(plural, change.before.name if change.before else change.ref.name): None}
        return dict(build_values(plural, [document], self.api.has_metadata_annotation, self._counts))

    def _read_values(self, plural: str) -> Dict[str, str]:
        """{key in etcd: value} of the objects of a kind."""
        if plural == "nodes":
            return build_nodes(self._list_core(plural))
        if plural == "profiles":
            return build_made_profiles(self._list_core)
        return build_values(plural, self._list_objects(plural), self.api.has_metadata_annotation, self._counts)

    def _list_objects(self, plural: str, convert: Callable[[Dict[str, Any]], Any] = drop_managed_fields) -> List[Any]:
        """The objects of a kind of Calico."""
        try:
            return self._client.list_objects(self.api.name, plural, convert)
        except KindMissing:
            if plural not in _OPTIONAL:
                raise
            return []

    def _list_core(self, plural: str) -> List[Dict[str, Any]]:
        return self._client.list_objects(_CORE, plural, drop_managed_fields)

    # Writes

    def write(self, changes: Sequence[Change], is_ended: Callable[[], bool] = never) -> Iterator[Outcome]:
        return make_changes(self._make, changes, is_ended)

    def rehearse(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        return make_changes(self._make_dry, changes, never)

    def _make(self, change: Change) -> Outcome:
        """Make one change. An answer that is missing is replaced by reading."""
        document = self._build_document(change)
        maybe_done = False
        deadline = time.monotonic() + self._settings.timeout
        for attempt in itertools.count():
            try:
                return self._send(change, document), None
            except Unanswered as exc:
                maybe_done = True
                try:
                    now = self.get(change.ref)
                except DatastoreError as unread:
                    problem = "{0}: {1}; the change may or may not have been made, since {2}"
                    return change, DatastoreError(problem.format(self.key(change.ref), exc, unread))
                if has_become(now, document, change.before):
                    content = now.content if now and document is None else document
                    return change._replace(content=content, revision=now.revision if now else ""), None
                if (now.revision if now else "") != (change.before.revision if change.before else ""):
                    return change, Conflict(str(exc), maybe_done)
                if not wait_for_server(exc, attempt, deadline):
                    problem = "{0}: {1}; when it was read afterwards, the change had not been made, but it still may be"
                    return change, DatastoreError(problem.format(self.key(change.ref), exc))
            except Conflict as exc:
                return change, Conflict(str(exc), maybe_done)
            except DatastoreError as exc:
                return change, exc
        raise AssertionError("the last try returns")

    def _make_dry(self, change: Change) -> Outcome:
        document, deadline = self._build_document(change), time.monotonic() + self._settings.timeout
        for attempt in itertools.count():
            try:
                self._send(change, document, is_dry=True)
                return change, None
            except DatastoreError as exc:
                # It changes nothing, so an answer that is missing does not matter.
                if not isinstance(exc, Unanswered) or not wait_for_server(exc, attempt, deadline):
                    return change, exc
        raise AssertionError("the last try returns")

    def _build_document(self, change: Change) -> Dict[str, Any] | None:
        """The object to store; None to delete it."""
        if change.content is None and change.after:
            found: Dict[str, Any] = self._codecs[change.ref.kind].encode(change.after, change.before)
            return found
        return cast("Dict[str, Any] | None", change.content)

    def _send(self, change: Change, document: Mapping[str, Any] | None, is_dry: bool = False) -> Change:
        """Send one change, and return it as it was made."""
        api, plural = self.api.name, find_plural(change.ref.kind)
        before = change.before.content["metadata"] if change.before else None
        if document is None:
            found = self._client.delete(api, plural, before or {}, is_dry)
            revision = found["metadata"]["resourceVersion"] if found else ""
            return change._replace(content=found, revision=revision)
        request = dict(document, metadata=prepare_metadata(document["metadata"], before))
        if before is None:
            made = self._client.create(api, plural, request, is_dry)
        else:
            made = self._client.update(api, plural, request, is_dry)
        # A dry run makes no revision.
        return change._replace(content=document, revision=made["metadata"].get("resourceVersion", ""))
