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
        V(etcdv3) is the data model of Calico v3 in etcd's v3 API. V(kubernetes) is the same data model behind a
        Kubernetes API server.
      - If omitted, it is read from O(calicoctl_config). A file without C(datastoreType) selects V(etcdv2) if it has
        C(apiVersion=v1), and V(etcdv3) if it has C(apiVersion=projectcalico.org/v3). Without a file, it is read from
        the environment variables E(CALICO_DATASTORE_TYPE) and E(DATASTORE_TYPE). The default is V(etcdv2).
    type: str
    choices: [etcdv2, etcdv3, kubernetes]
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
  kubeconfig:
    description:
      - Path of a kubeconfig file, several paths separated by colons, or the content as a mapping.
      - The Python library C(kubernetes) loads it, with exec plugins, token files and embedded certificates. A task
        whose exec plugin gives no credentials within O(timeout) fails.
      - If neither O(kubeconfig) nor O(host) is given, a pod's service account is used, then C(~/.kube/config).
      - If O(kubeconfig) or O(host) is given, settings of the cluster from weaker sources (O(calicoctl_config), then
        the environment) do not count, so no
        credentials are sent to another cluster.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables E(K8S_AUTH_KUBECONFIG)
        and E(KUBECONFIG).
    type: raw
  context:
    description:
      - Name of the context in O(kubeconfig). If omitted, it is read from O(calicoctl_config), then from the
        environment variables E(K8S_AUTH_CONTEXT) and E(K8S_CURRENT_CONTEXT). The default is the current context.
    type: str
  host:
    description:
      - URL of the Kubernetes API server, C(https://HOST:PORT). With credentials (O(api_key), O(username), or
        O(client_cert) and O(client_key)), no kubeconfig is loaded.
      - If omitted, it is read from O(calicoctl_config), then from the environment variables E(K8S_AUTH_HOST) and
        E(K8S_API_ENDPOINT).
    type: str
  api_key:
    description:
      - Bearer token of the Kubernetes user. If omitted, it is read from O(calicoctl_config), then from the
        environment variables E(K8S_AUTH_API_KEY) and E(CALICO_K8SAPITOKEN).
    type: str
  username:
    description:
      - Name of the user for HTTP basic authentication, which some proxies in front of an API server require.
        Requires O(password). If omitted, it is read from the environment variable E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for HTTP basic authentication. If omitted, it is read from the environment variable
        E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description:
      - Path of the client certificate in PEM format. If omitted, it is read from O(calicoctl_config), then from the
        environment variables E(K8S_AUTH_CLIENT_CERT), E(K8S_AUTH_CERT_FILE) and E(K8S_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the client certificate's private key in PEM format, without a password. If omitted, it is read from
        O(calicoctl_config), then from the environment variables E(K8S_AUTH_CLIENT_KEY), E(K8S_AUTH_KEY_FILE) and
        E(K8S_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the CA certificates that verify the API server's certificate, in PEM format. If omitted, it is read
        from O(calicoctl_config), then from the environment variables E(K8S_AUTH_CA_CERT), E(K8S_AUTH_SSL_CA_CERT)
        and E(K8S_CA_FILE).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether to verify the API server's certificate. If omitted, it is read from C(k8sInsecureSkipTLSVerify) in
        O(calicoctl_config), which has the opposite meaning, then from the environment variables
        E(K8S_AUTH_VALIDATE_CERTS), E(K8S_AUTH_VERIFY_SSL) and E(K8S_INSECURE_SKIP_TLS_VERIFY), then from
        O(kubeconfig). The default is V(true).
    type: bool
    aliases: [verify_ssl]
  tls_server_name:
    description:
      - Name that the API server's certificate must have, if it differs from the host name in the URL. If omitted,
        it is read from the environment variable E(K8S_AUTH_TLS_SERVER_NAME), then from O(kubeconfig).
    type: str
  proxy:
    description:
      - URL of an HTTP proxy for requests to the API server. If omitted, it is read from the environment variable
        E(K8S_AUTH_PROXY), then from O(kubeconfig), then from E(HTTPS_PROXY).
    type: str
  no_proxy:
    description:
      - Hosts that are reached without the proxy, separated by commas. If omitted, it is read from the environment
        variable E(K8S_AUTH_NO_PROXY), then, with E(HTTPS_PROXY), from E(NO_PROXY).
    type: str
  impersonate_user:
    description:
      - User to impersonate. If omitted, it is read from the environment variable E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - Groups to impersonate, as a list or separated by commas. Requires O(impersonate_user). If omitted, it is
        read from the environment variable E(K8S_AUTH_IMPERSONATE_GROUPS).
    type: list
    elements: str
  calico_api_group:
    description:
      - Calico's API to use, V(projectcalico.org/v3) or V(crd.projectcalico.org/v1). If omitted, the API that holds
        the truth is found by discovery, and the result names it and the reason.
      - The default is read from O(calicoctl_config), then from the environment variable E(CALICO_API_GROUP).
    type: str
  calicoctl_config:
    description:
      - Path of a C(calicoctl) configuration file, with C(apiVersion=v1) and C(kind=calicoApiConfig) or with
        C(apiVersion=projectcalico.org/v3) and C(kind=CalicoAPIConfig).
      - Task options override the file, and the file overrides the environment.
      - With a file, O(datastore_type), O(etcd_endpoints) and the options for Kubernetes are never read from the
        environment. If neither the file nor an option names an etcd server, a task for etcd fails.
      - As in C(calicoctl), an unknown or misplaced key is an error, the keys for Kubernetes have no effect on etcd and
        vice versa, and only the first YAML document of the file is read.
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
  - kubernetes >= 24.2 on the host that executes the module, for O(datastore_type=kubernetes)
  - PyYAML on the host that executes the module
notes:
  - Environment variables are read on the host that executes the module, as the user that executes it. As in
    C(calicoctl), a variable with the prefix C(CALICO_) overrides the variable without it, even if it is empty.
"""

    # For modules that action plugins of this collection run.
    NAMES = r"""
options:
  option_names:
    description:
      - A mapping of options to the names that messages use for them, for example the variables that hold their values.
        The roles of this collection set it.
    type: dict
"""
