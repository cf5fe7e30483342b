// edge/bootstrap: the configuration that an Envoy starts with; everything else comes to it over
// xDS.
#pragma once

#include "base/base.h"
#include "codec/doc.h"

// TLS to the control plane. Without ca_file the connection is plain.
struct sld_bootstrap_tls {
    struct sld_str ca_file;             // PEM, as are the others; paths as Envoy sees them
    struct sld_str cert_file, key_file; // Envoy's own certificate; both or none
    struct sld_str
        server_name; // SNI and the name in the certificate; absent = the host of the address
};

// Zeroes mean: absent, or the default named. Texts are borrowed.
struct sld_bootstrap_options {
    struct sld_str role; // "<write namespace>~<proxy name>": chooses what is served to it. Required
    struct sld_str node_id;      // default: the role
    struct sld_str node_cluster; // "gateway"
    struct sld_str xds; // the control plane: "unix:/path", "host:port", "[::1]:port". Required
    struct sld_bootstrap_tls tls;
    struct sld_str
        admin; // "unix:/path" (mode 0600) or a loopback address; absent = no admin interface
    uint32_t max_connections; // downstream, of all listeners together; 50000
    bool full_stats; // all of Envoy's statistics, not the lean list (more memory and start-up time
                     // per cluster)
};

// Adds the bootstrap to OUT. SLD_INVALID: an address, path, role or file cannot be used;
// SLD_DENIED: an admin address that others could reach; SLD_LIMIT: OUT is full. The bytes are equal
// for equal options. [any]
SLD_NODISCARD enum sld_rc sld_bootstrap_print(struct sld_buf *out,
                                              const struct sld_bootstrap_options *o,
                                              enum sld_text_style style, struct sld_err *err);
