# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A datastore in this process, in one file: the minimum for a new datastore of the collection.

Its revisions are words, and the server adds a field to each value, as a Kubernetes API server does: code that compares
revisions as numbers, or values as bytes, fails here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from unittest import mock

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import Conflict
from ansible_collections.netsec.calico.plugins.module_utils._datastore.base import Datastore, State, never
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import DATASTORES, DatastoreType
from ansible_collections.netsec.calico.plugins.module_utils._datastore.settings import Family, Option, Settings
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Codec, Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port


class ToyServer:
    """{(kind, name): [revision, value]}; `before_write` is called before each write."""

    def __init__(self):
        self.objects = {}
        self.is_locked = False
        self.before_write = lambda: None
        self._writes = 0

    def put(self, kind, name, fields):
        self._writes += 1
        revision = "revision-%s" % chr(ord("a") + self._writes)
        self.objects[kind, name] = [revision, json.dumps(dict(fields, written=self._writes))]
        return revision

    def fields(self, kind, name):
        return json.loads(self.objects[kind, name][1])


@dataclasses.dataclass(frozen=True)
class ToySettings(Settings):
    server: ToyServer = None

    @property
    def servers(self):
        return ()

    @property
    def secrets(self):
        return ()


class ToyDatastore(Datastore):
    """Resources of any kinds; codecs: {kind: its Codec}."""

    def __init__(self, server, api_version=V3, codecs=None):
        self.api_version = api_version
        self._server = server
        self._codecs = codecs or {"HostEndpoint": CODEC}

    def read_state(self):
        return State(locked="the toy is locked" if self._server.is_locked else "")

    def key(self, ref):
        return "%s/%s" % (ref.kind, ref.name)

    def read(self, refs, nodes, kinds=()):
        return self.list()

    def get(self, ref):
        return next((stored for stored in self.list() if stored.key == self.key(ref)), None)

    def list(self, node=""):
        found = [
            Stored("%s/%s" % (kind, name), revision, value, "", name, self._codecs[kind])
            for (kind, name), (revision, value) in self._server.objects.items()
        ]
        return sorted((each for each in found if node in ("", each.node)), key=lambda each: (each.node, each.name))

    def known_nodes(self):
        return ["n1", "n2"]

    def felix_nodes(self):
        return {}

    def build_policy_values(self, change):
        return {}

    def read_policies(self, node="", declared=(), planned=()):
        return PolicySnapshot(endpoints=self.list())

    def write(self, changes, is_ended=never):
        for change in changes:
            if is_ended():
                return
            self._server.before_write()
            place = (change.ref.kind, change.ref.name)
            now = self._server.objects.get(place, ["", ""])[0]
            if now != (change.before.revision if change.before else ""):
                yield change, Conflict("another client changed {0}".format(change.ref))
            elif change.after is None:
                del self._server.objects[place]
                yield change._replace(revision=""), None
            else:
                revision = self._server.put(*place, _fields_of(change.after))
                yield change._replace(revision=revision), None


def _fields_of(resource):
    fields = {field.name: getattr(resource, field.name) for field in dataclasses.fields(resource)}
    return {name: value for name, value in fields.items() if value}


def _decode(value, ref):
    fields = json.loads(value)
    del fields["written"]
    ports = tuple(Port(*port) for port in fields.pop("ports", ()))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return HostEndpoint(**dict(fields, **lists, ports=ports))


CODEC = Codec(HostEndpoint, None, _decode, lambda value, resource: False)


@contextlib.contextmanager
def toy_datastore():
    """A server, and the collection with one more datastore, whose option is toy_name."""
    server = ToyServer()
    option = Option("toy_name", {"type": "str", "required": True})
    family = Family(
        (option,),
        lambda environment: {},
        lambda found, options: {},
        lambda given, datastore_type, timeout: ToySettings(datastore_type, timeout, given.sources, server),
    )
    row = DatastoreType(V3, family, lambda settings: ToyDatastore(settings.server))
    with mock.patch.dict(DATASTORES, {"toy": row}):
        yield server
