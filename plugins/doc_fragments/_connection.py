# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  datastore_type:
    description:
      - The datastore that Calico uses. V(etcdv2) is Calico v1's data model in etcd's v2 API (Calico up to 2.6),
        V(etcdv3) is Calico v3's in etcd's v3 API.
      - If not given, it is taken from O(calicoctl_config), which means V(etcdv2) with C(apiVersion=v1) and V(etcdv3)
        with C(apiVersion=projectcalico.org/v3) when it has no C(datastoreType). Without a file, it is taken from the
        environment variables E(CALICO_DATASTORE_TYPE) and E(DATASTORE_TYPE), and then it is V(etcdv2).
    type: str
    choices: [etcdv2, etcdv3]
  etcd_endpoints:
    description:
      - URLs of the etcd servers, C(http://HOST:PORT) or C(https://HOST:PORT), as a list or separated by commas.
      - When one does not answer, the next one is asked.
      - If not given, they are taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_ENDPOINTS) and E(ETCD_ENDPOINTS), then from E(CALICO_ETCD_AUTHORITY) and E(ETCD_AUTHORITY)
        (C(HOST:PORT)) with E(CALICO_ETCD_SCHEME) and E(ETCD_SCHEME), and then they are V(http://127.0.0.1:2379).
      - A variable that is set and empty does not mean that default, but an error.
    type: list
    elements: str
  etcd_ca_cert_file:
    description:
      - Path of the certificates of the authorities that the etcd servers' certificates are checked against, in PEM
        format. Without it, they are checked against the ones that the system trusts.
      - An authority that is given here need not have the extensions that Python 3.13 and later ask for by default.
      - If not given, it is taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_CA_CERT_FILE) and E(ETCD_CA_CERT_FILE).
    type: path
  etcd_cert_file:
    description:
      - Path of the client certificate in PEM format.
      - With O(datastore_type=etcdv3), requests go through etcd's JSON gateway, which has two limits. Where etcd runs
        with C(--client-cert-auth), its server certificate must be one for clients, too (C(extendedKeyUsage) with
        C(serverAuth) and C(clientAuth)), from an authority of C(--trusted-ca-file), since the gateway is a client of
        its own server; etcd 3.5 can give the gateway another one with C(--client-cert-file) and C(--client-key-file).
        And the common name of a client certificate cannot be the etcd user. Where etcd asks for users, use
        O(etcd_username) and O(etcd_password), with a certificate without a common name or without a certificate.
      - If not given, it is taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_CERT_FILE) and E(ETCD_CERT_FILE).
    type: path
  etcd_key_file:
    description:
      - Path of the client certificate's key in PEM format, without a password. Not needed when O(etcd_cert_file) holds
        the key as well.
      - If not given, it is taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_KEY_FILE) and E(ETCD_KEY_FILE).
    type: path
  etcd_username:
    description:
      - Name of the etcd user. Needs O(etcd_password).
      - If not given, it is taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_USERNAME) and E(ETCD_USERNAME).
    type: str
  etcd_password:
    description:
      - Password of the etcd user. Where it also occurs in the task's result, Ansible masks it there, and a warning says
        so.
      - If not given, it is taken from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_PASSWORD) and E(ETCD_PASSWORD).
    type: str
  calicoctl_config:
    description:
      - Path of a configuration file of C(calicoctl), with C(apiVersion=v1) and C(kind=calicoApiConfig) or with
        C(apiVersion=projectcalico.org/v3) and C(kind=CalicoAPIConfig).
      - An option of the task comes before the file, and the file before the environment.
      - With a file, O(datastore_type) and O(etcd_endpoints) are never taken from the environment. When neither the file
        nor an option names an etcd server, the task fails.
      - As with C(calicoctl), a key that is unknown or in the wrong place is an error, the keys for Kubernetes have no
        meaning for etcd, and only the first YAML document of the file counts.
      - Its C(etcdKey), C(etcdCert), C(etcdCACert) and C(etcdDiscoverySrv) are not supported. Give O(etcd_key_file),
        O(etcd_cert_file), O(etcd_ca_cert_file) and O(etcd_endpoints) instead.
      - If not given, it is taken from the environment variable E(CALICOCTL_CONFIG).
    type: path
  timeout:
    description:
      - How many seconds one request to the datastore may wait for its answer. V(10) if not given.
    type: float
requirements:
  - python-etcd >= 0.4.5 on the host that executes the module, for O(datastore_type=etcdv2)
  - etcd3gw >= 2.7 on the host that executes the module, for O(datastore_type=etcdv3)
  - PyYAML on the host that executes the module
notes:
  - The environment variables are those of the host and the user that execute the module. One with the prefix
    C(CALICO_) comes before the one without it, as for C(calicoctl), even when it is empty.
"""
