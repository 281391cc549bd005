# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that Calico v3 accepts, derived from any names as Calico's own upgrade does.

libcalico-go release-v3.3, lib/upgrade/converters/names.go.
"""

from __future__ import annotations

import hashlib
import re


def v3_node(name: str) -> str:
    """The v3 name of a node. Different nodes may get the same name; a name without any letter or digit becomes ""."""
    return _normalised(name)


def v3_name(text: str) -> str:
    """The v3 name of an object: the string itself if it is valid, else a valid name with a hash of it appended."""
    name = _normalised(text)
    if name == text:
        return name
    return "{0}-{1}".format(name, hashlib.sha1(text.encode("utf-8", "surrogatepass")).hexdigest()[:8])


def v3_profile(name: str) -> str:
    """The v3 name of a profile; those of Kubernetes' namespaces have another prefix (profile.go beside names.go)."""
    if name.startswith("k8s_ns."):
        name = "kns." + name[len("k8s_ns.") :]
    return v3_name(name)


def _normalised(text: str) -> str:
    text = re.sub("[^-.a-z0-9]+", "-", text.lower().replace("/", "."))
    # Calico's "[.-]*[.][.-]*" would scan a run of dashes once for each dash.
    return re.sub("[.-]+", lambda run: "." if "." in run.group() else run.group(), text).strip(".-")
