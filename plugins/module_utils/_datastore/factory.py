# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which datastores there are. A new one is its own file and a line in each of the two."""

from __future__ import annotations

from .._resources.hostendpoint import V1, V3
from .base import Datastore
from .settings import ETCDV2, ETCDV3, Settings

# The generation of the resources that each datastore holds.
API_VERSIONS = {ETCDV2: V1, ETCDV3: V3}


def open_datastore(settings: Settings) -> Datastore:
    """The datastore of these settings."""
    # pylint: disable=import-outside-toplevel
    if settings.datastore_type == ETCDV2:
        # Its client library may be the only one that is there.
        from .etcdv2 import EtcdV2Datastore

        return EtcdV2Datastore(settings)
    if settings.datastore_type == ETCDV3:
        # As above.
        from .etcdv3 import EtcdV3Datastore

        return EtcdV3Datastore(settings)
    raise ValueError(settings.datastore_type)
