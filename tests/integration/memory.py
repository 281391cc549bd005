# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A datastore in this process, as Calico leaves it when it starts for the first time."""

from __future__ import annotations

import contextlib
import json

from tests.harness.datastore import DATASTORES
from tests.harness.memory import MemoryEtcd


@contextlib.contextmanager
def memory_of(datastore_type):
    server = MemoryServer()
    with server.serving():
        yield DATASTORES[datastore_type](server)


class MemoryServer(MemoryEtcd):
    """What a datastore of the harness needs of a server."""

    put_v3 = MemoryEtcd.put

    def tree(self, prefix=""):
        return {_text(key): _text(value) for key, value in super().tree().items() if key.startswith(prefix.encode())}

    tree_v3 = tree

    def revision_v3(self):
        return self._revision

    def request(self, *_anything):
        """What a datastore of etcd's v2 API asks for its revision."""
        return 200, json.dumps({"index": self._revision})


def _text(data):
    return data.decode("utf-8", "replace")
