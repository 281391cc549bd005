# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The forms of a value, for values of every type of a spec."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.netsec.calico.plugins.module_utils._core.go_types import to_json
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.spec_text import format_value
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.field_types import (
    AS_NUMBER,
    DSCP,
    DURATION,
    FLAG,
    INTEGER,
    NUMBER,
    PORT,
    PORT_NUMBER,
    PROTOCOL,
    REAL,
    TEXT,
    UINT32,
    as_document,
    filled,
    tidy,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.structs_v3 import SPECS

TEXT_VALUES = st.sampled_from(("", "a", "Allow", "<&>", "\u2028 \ud800", "role == 'r'"))
NUMBERS = st.integers(0, 65535)
# {how a scalar is read: values of its type}
SCALARS = {
    TEXT.read: TEXT_VALUES,
    FLAG.read: st.sampled_from((True, False, None)),
    INTEGER.read: st.integers(-(2**63), 2**63 - 1),
    UINT32.read: NUMBERS,
    REAL.read: st.sampled_from((0.0, -0.0, 5.0, 0.00001, 1e21, 1.5, -1000000.0)),
    PORT.read: NUMBERS | st.just((80, 90)) | st.just("http"),
    PORT_NUMBER.read: NUMBERS,
    NUMBER.read: NUMBERS,
    PROTOCOL.read: st.sampled_from(("TCP", "6", "255", "x")),
    DURATION.read: st.sampled_from(("0s", "1m30s")),
    DSCP.read: NUMBERS | st.just("EF"),
    AS_NUMBER.read: NUMBERS,
}


def values(kind):
    """Values of a type, with empty and unknown fields."""
    if kind.is_struct:
        fields = {name: values(each) for name, each in kind.fields.items()}
        known = st.fixed_dictionaries({}, optional=fields)
        return st.tuples(known, st.booleans()).map(lambda found: dict(found[0], **{"x": 1} if found[1] else {}))
    if kind.item:
        return st.lists(values(kind.item), max_size=2)
    if kind.is_texts:
        return st.dictionaries(TEXT_VALUES, TEXT_VALUES, max_size=2)
    return SCALARS.get(kind.read, TEXT_VALUES)


@pytest.mark.parametrize("kind", SPECS)
@hypothesis.given(data=st.data())
def test_a_value_is_made_tidy_and_filled_in_one_pass(kind, data):
    spec = SPECS[kind]
    value = data.draw(values(spec))
    found = tidy(spec, value, is_filled=True)
    # In the same order, in which messages name the fields.
    assert repr(found) == repr(filled(spec, tidy(spec, value)))
    assert format_value(spec, found) == to_json(as_document(spec, found))
