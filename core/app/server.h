// The server: two owner threads and what hangs on them.
//
//   io thread (the process's first)                     model thread
//   sources, state directory ── raw bytes, accepted ──▶ intake ─▶ translate
//   xds, admin, edge, signals ◀─ changed resources,  ── rounds
//                                statuses, counters
#pragma once

#include "base/base.h"

struct sld_server_options {
    const char *const *configs; // addresses of sources, NULL-terminated; settings name more
    const char *const *secrets; // addresses of secret stores, NULL-terminated
    const char *settings_file;  // or NULL
    const char *settings_name;  // "ns/name" or NULL
    const char *envoy;          // NULL: none; "": the one on PATH; else its path
    const char *envoy_proxy;    // proxy name of the supervised Envoy; NULL = gateway-proxy
    // Seconds: an Envoy that has not taken everything by then is reported, and no reason to be unready
    // any more.
    uint64_t envoy_timeout_s;
    const char *const *xds;     // addresses, NULL-terminated; none: the default (design 10)
    bool xds_insecure;
    const char *xds_cert, *xds_key, *xds_client_ca; // PEM files, or NULL
    const char *const *admin;                       // addresses, NULL-terminated
    const char *admin_token_file;                   // or NULL
    const char *admin_cert, *admin_key, *admin_client_ca;
    const char *state_dir; // NULL: from settings, else /var/lib/solder
    const char *log_level; // or NULL
    const char *plugins;   // folder of plugins, or NULL
    const char *worker_listen;  // HOST:PORT of its first event loop, for Envoys of other machines; or NULL
    const char *worker_address; // what these are told instead; or NULL
    const char *worker_cert, *worker_key, *worker_client_ca; // PEM files; or NULL: those of xDS
    uint64_t worker_threads; // event loops of the worker; 0: as many as processors, at most 4
};

// Runs until a signal ends it. Returns the process's exit code; why it could not start goes to
// stderr.
int sld_server_run(const struct sld_server_options *o);
