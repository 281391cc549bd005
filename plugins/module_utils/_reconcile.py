# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the datastore hold what is wanted: read, plan, write what differs."""

from __future__ import annotations

import random
import time

from ._datastore import Store
from ._errors import Conflict, DatastoreError, Refused
from ._plan import NONE, Change, Want, change_for

TRIES = 5


def reconcile(store: Store, want: Want, check_mode: bool) -> Change:
    """The change that was made, or in check mode the one that would be.

    Every try reads and plans anew, so that what others write meanwhile is never overwritten unseen.
    Raises Refused while Calico has locked its datastore, and DatastoreError after five conflicts.
    """
    for attempt in range(TRIES):
        change = change_for(want, store.get(want.identity), store.api_version)
        if change.operation == NONE:
            return change
        if store.state.locked:
            raise Refused("{0} cannot be changed now: {1}".format(change.identity, store.state.locked))
        if check_mode:
            return change
        try:
            store.apply(change)
            return change
        except Conflict as exc:
            conflict = exc
            # Two controllers that met once shall not meet again.
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise DatastoreError("gave up after {0} conflicts: {1}".format(TRIES, conflict))
