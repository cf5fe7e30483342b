// Private to the files of secrets, TLS and clusters.
#pragma once

#include "translate/inside.h"

#include "envoy/config/core/v3/base.pb-c.h"

// Reads certificates, key and OCSP answer of a TLS secret. What is wrong with them at any time goes
// to R (paths below "tls"); OUT's texts live in A. False when there was an error: OUT is then not
// to be used.
bool tr_read_tls_secret(struct sld_arena *a, const Gloo__TlsSecret *s, struct sld_report *r,
                        struct tr_cert *out);

// TLS towards an upstream, resolved: sockets that differ in the server name alone can be made of
// it.
struct tr_tls_source {
    struct sld_str cert, ca;     // names of SDS resources; absent: none
    const Gloo__SSLFiles *files; // they are files of the Envoy's machine
    bool remembered; // they have not been read yet: whoever holds them keeps them, nobody waits for them
};
// Finds what C needs; false with findings on R as tr_downstream_tls. C NULL: plain TLS without any
// check.
bool tr_upstream_tls_resolve(struct tr *tr, const Gloo__UpstreamSslConfig *c,
                             struct sld_str owner_ns, struct sld_report *r,
                             struct tr_tls_source *out, bool *missing);
// The socket with server name SNI (empty: none).
Env__Core__TransportSocket *tr_upstream_tls_socket(struct tr *tr, const Gloo__UpstreamSslConfig *c,
                                                   const struct tr_tls_source *s,
                                                   struct sld_str sni, struct tr_needs *needs);

// Emits the SDS resource of F's root certificates (CA), or of its certificate and key, beside the
// row in the making, in the same table; returns its name. SIDE keeps the names of two tables apart.
// (tls_files.c)
struct sld_str tr_tls_files(struct tr *tr, const char *side, const Gloo__SSLFiles *f, bool ca);
