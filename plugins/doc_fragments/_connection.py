# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  datastore_type:
    description:
      - Type of Calico's datastore. V(etcdv2) is the data model of Calico v1 in etcd's v2 API (Calico up to 2.6).
        V(etcdv3) is the data model of Calico v3 in etcd's v3 API.
      - If omitted, it is read from O(calicoctl_config). A file without C(datastoreType) selects V(etcdv2) if it has
        C(apiVersion=v1), and V(etcdv3) if it has C(apiVersion=projectcalico.org/v3). Without a file, it is read from
        the environment variables E(CALICO_DATASTORE_TYPE) and E(DATASTORE_TYPE). The default is V(etcdv2).
    type: str
    choices: [etcdv2, etcdv3]
  etcd_endpoints:
    description:
      - URLs of the etcd servers, C(http://HOST:PORT) or C(https://HOST:PORT), as a list or separated by commas.
      - If a server does not answer, the module tries the next server.
      - If omitted, the URLs are read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_ENDPOINTS) and E(ETCD_ENDPOINTS), then from E(CALICO_ETCD_AUTHORITY) and E(ETCD_AUTHORITY)
        (C(HOST:PORT)) with E(CALICO_ETCD_SCHEME) and E(ETCD_SCHEME). The default is V(http://127.0.0.1:2379).
      - A variable that is set but empty is an error and does not select the default.
    type: list
    elements: str
  etcd_ca_cert_file:
    description:
      - Path of the CA certificates that verify the etcd servers' certificates, in PEM format. Without it, the
        CA certificates that the system trusts verify them.
      - A CA certificate in this file does not need the extensions that Python 3.13 and later require by default.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_CA_CERT_FILE) and E(ETCD_CA_CERT_FILE).
    type: path
  etcd_cert_file:
    description:
      - Path of the client certificate in PEM format.
      - With O(datastore_type=etcdv3), requests use etcd's JSON gateway, which has two limits.
      - The gateway is a client of its own server. If etcd runs with C(--client-cert-auth), etcd's server certificate
        must also be a client certificate (C(extendedKeyUsage) with C(serverAuth) and C(clientAuth)) from an authority
        in C(--trusted-ca-file). In etcd 3.5, C(--client-cert-file) and C(--client-key-file) can give the gateway a
        separate certificate.
      - The gateway cannot use the common name of a client certificate as the etcd user. If etcd requires a user, set
        O(etcd_username) and O(etcd_password), and use a certificate without a common name or no certificate.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_CERT_FILE) and E(ETCD_CERT_FILE).
    type: path
  etcd_key_file:
    description:
      - Path of the client certificate's private key in PEM format, without a password. Not required if
        O(etcd_cert_file) also contains the key.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_KEY_FILE) and E(ETCD_KEY_FILE).
    type: path
  etcd_username:
    description:
      - Name of the etcd user. Requires O(etcd_password).
      - If omitted, it is read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_USERNAME) and E(ETCD_USERNAME).
    type: str
  etcd_password:
    description:
      - Password of the etcd user. If it also occurs in the task's result, Ansible masks it there, and the module warns
        about it.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables
        E(CALICO_ETCD_PASSWORD) and E(ETCD_PASSWORD).
    type: str
  calicoctl_config:
    description:
      - Path of a C(calicoctl) configuration file, with C(apiVersion=v1) and C(kind=calicoApiConfig) or with
        C(apiVersion=projectcalico.org/v3) and C(kind=CalicoAPIConfig).
      - Task options override the file, and the file overrides the environment.
      - With a file, O(datastore_type) and O(etcd_endpoints) are never read from the environment. If neither the file
        nor an option names an etcd server, the task fails.
      - As in C(calicoctl), an unknown or misplaced key is an error, the keys for Kubernetes have no effect on etcd, and
        only the first YAML document of the file is read.
      - The keys C(etcdKey), C(etcdCert), C(etcdCACert) and C(etcdDiscoverySrv) are not supported. Set
        O(etcd_key_file), O(etcd_cert_file), O(etcd_ca_cert_file) and O(etcd_endpoints) instead.
      - If omitted, it is read from the environment variable E(CALICOCTL_CONFIG).
    type: path
  timeout:
    description:
      - Maximum number of seconds to wait for the answer to one request to the datastore. V(10) if omitted.
    type: float
requirements:
  - python-etcd >= 0.4.5 on the host that executes the module, for O(datastore_type=etcdv2)
  - etcd3gw >= 2.7 on the host that executes the module, for O(datastore_type=etcdv3)
  - PyYAML on the host that executes the module
notes:
  - Environment variables are read on the host that executes the module, as the user that executes it. As in
    C(calicoctl), a variable with the prefix C(CALICO_) overrides the variable without it, even if it is empty.
"""
