# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sources of settings: options, calicoctl's configuration file, the environment, and defaults.

An option overrides the file, the file overrides the environment, and the environment overrides the default. Each
family of datastores (etcd) declares its options in its own table, from which the rest follows.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .._core.errors import InvalidInput, brief, format_message, get_option_name
from .calicoctl_file import CalicoctlFile, read_calicoctl_file

# Seconds.
LONGEST_TIMEOUT = 86400


class Option(NamedTuple):
    """A connection option."""

    name: str
    # As in a module's argument specification, without a default, which the environment and the file override.
    spec: Mapping[str, Any]
    # Key in the spec of calicoctl's file; "" when there is no key.
    file_key: str = ""
    # Whether it selects the datastore. Then a given file excludes the environment.
    names_datastore: bool = False
    # The environment's variables, the first one has precedence, each with or without CALICO_ before it. If omitted, the
    # name in capitals, for an option that calicoctl's file has, too.
    variables: Tuple[str, ...] = ()
    # The role's variable without the role's prefix; the name if omitted.
    role_variable: str = ""

    def list_variables(self) -> Tuple[str, ...]:
        return self.variables or ((self.name.upper(),) if self.file_key else ())


# The options of every datastore.
DATASTORE_TYPE = Option("datastore_type", {"type": "str"}, "datastoreType", names_datastore=True)
GENERAL_OPTIONS = (
    DATASTORE_TYPE,
    Option("calicoctl_config", {"type": "path"}),
    Option("timeout", {"type": "float"}),
)


class Environment:
    """The environment as calicoctl reads it: a variable with the prefix CALICO_ has precedence, even an empty one."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def find_name(self, name: str) -> str:
        """The name of the variable that has precedence."""
        return "CALICO_" + name if "CALICO_" + name in self._variables else name

    def has(self, name: str) -> bool:
        return self.find_name(name) in self._variables

    def get(self, name: str) -> str:
        """Its value; "" when it is not set."""
        return self._variables.get(self.find_name(name), "")


class Given(NamedTuple):
    """The given settings by option name, and their sources."""

    values: Mapping[str, Any]
    # {name: option, environment, or the file}
    sources: Mapping[str, str]
    # The options of the task.
    options: Mapping[str, Any]
    environment: Environment
    # Path of calicoctl's file; "" when there is none.
    path: str

    def get_source(self, name: str) -> str:
        return self.sources.get(name, "default")


class Family(NamedTuple):
    """The connection options of one family of datastores."""

    options: Tuple[Option, ...]
    # Values that the environment, or the file and the task's options, give outside the table.
    read_environment: Callable[[Environment], Mapping[str, Any]]
    read_file: Callable[[CalicoctlFile, Mapping[str, Any]], Mapping[str, Any]]
    # (what is given, datastore_type, timeout in seconds). Raises InvalidInput.
    build: Callable[[Given, str, float], Settings]
    # Values of options that may hold a secret although they must not: Ansible would repeat them in the result.
    find_misplaced_secrets: Callable[[Mapping[str, Any]], Sequence[str]] = lambda options: ()
    # Values of no_log options that are not secret: Ansible would mask them wherever they occur in the result.
    find_harmless: Callable[[Mapping[str, Any]], Sequence[str]] = lambda options: ()
    # {option: its value as a result repeats it}, of options with a part that may be secret.
    list_redacted: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda options: {}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to reach the datastore; `sources` has the source of each setting, for error messages."""

    datastore_type: str
    timeout: float
    sources: Mapping[str, str]

    @property
    def servers(self) -> Tuple[str, ...]:
        """URLs of the servers, each with its port. Every host must reach them, too."""
        raise NotImplementedError

    @property
    def secrets(self) -> Tuple[str, ...]:
        """What must not appear in any output."""
        raise NotImplementedError


def read_given(options: Mapping[str, Any], variables: Mapping[str, str], families: Sequence[Family]) -> Given:
    """What the options, the file that they or the environment name, and the environment give.

    Raises InvalidInput, with the source, for a file that cannot be read.
    """
    environment = Environment(variables)
    path = options.get("calicoctl_config") or variables.get("CALICOCTL_CONFIG") or ""
    table = [DATASTORE_TYPE, *(option for family in families for option in family.options)]
    layers: List[Tuple[Mapping[str, Any], str]] = [
        (_read_environment(environment, table, families, bool(path)), "environment"),
        (_read_file(path, options, table, families) if path else {}, "file {0}".format(brief(path, 255))),
        ({option.name: options.get(option.name) for option in table}, "option"),
    ]
    values: Dict[str, Any] = {}
    sources: Dict[str, str] = {}
    for layer, source in layers:
        for name, value in layer.items():
            # An empty list is a mistake and does not select the default.
            if value or value == [] or value is False:
                values[name], sources[name] = value, source
    return Given(values, sources, options, environment, path)


def check_not_empty(
    given: Given, name: str, variables: Sequence[str], default: str, options: Sequence[str] = ()
) -> None:
    """Raise InvalidInput when a variable or an option that names a setting is empty: no default stands in for it."""
    empty = ["{0} (option)".format(get_option_name(option)) for option in options if given.options.get(option) == ""]
    for variable in variables:
        if given.environment.has(variable) and not given.environment.get(variable):
            empty.insert(0, "{0} (environment)".format(given.environment.find_name(variable)))
    if empty and name not in given.values:
        text = "{0}: {1} is empty; set it, or remove it to use the default, {2}"
        raise InvalidInput([text.format(get_option_name(name), empty[0], default)])


def read_timeout(options: Mapping[str, Any]) -> float:
    """Seconds. Raises InvalidInput."""
    timeout = options.get("timeout")
    if timeout is None:
        return 10.0
    if not 0 < timeout <= LONGEST_TIMEOUT:
        rule = "is not a number of seconds above 0 and up to {0}".format(LONGEST_TIMEOUT)
        raise InvalidInput([format_message("{timeout}: {0} {1}", timeout, rule)])
    return float(timeout)


def _read_environment(
    environment: Environment, table: Sequence[Option], families: Sequence[Family], has_file: bool
) -> Dict[str, Any]:
    values: Dict[str, Any] = {}
    for option in table:
        found = [environment.get(variable) for variable in option.list_variables()]
        values[option.name] = next(filter(None, found), "")
    _fill(values, [family.read_environment(environment) for family in families])
    left_out = {option.name for option in table if option.names_datastore and has_file}
    return {name: value for name, value in values.items() if name not in left_out}


def _read_file(
    path: str, options: Mapping[str, Any], table: Sequence[Option], families: Sequence[Family]
) -> Dict[str, Any]:
    found = read_calicoctl_file(path)
    # This first rejects unsupported keys.
    more = [family.read_file(found, options) for family in families]
    values: Dict[str, Any] = {option.name: found.get_text(option.file_key) for option in table if option.file_key}
    _fill(values, more)
    values["datastore_type"] = values["datastore_type"] or found.default_type
    return values


def _fill(values: Dict[str, Any], others: Sequence[Mapping[str, Any]]) -> None:
    """Add the other values where none is given."""
    for other in others:
        values.update({name: value for name, value in other.items() if not values.get(name)})


def named(settings: Settings, option: str) -> str:
    """The option with its source and value, for messages; not for secrets."""
    source = settings.sources.get(option, "default")
    name = get_option_name(option)
    value = getattr(settings, option)
    return "{0} {1}".format(name if source == "option" else "{0} ({1})".format(name, source), brief(value, 255))
