// The Vault store: secrets of HashiCorp's Vault or OpenBao, by the references of the configuration
// alone. Address: "vault:" (everything from Settings and VAULT_* variables) or
// "vault://[host:port][/mount/root]", "vaults://" with TLS.
#pragma once

#include "net/place.h"
#include "secret/secret.h"

extern const struct sld_secret_store_ops sld_secret_vault_ops;

// Where the Vault is that SETTINGS or VAULT_ADDR name, and who we are there, in A. SLD_NOT_FOUND: none is named; SLD_INVALID: it is no
// address, or Solder logs in by something else than a token.
SLD_NODISCARD enum sld_rc sld_vault_reach(struct sld_arena *a, const struct Gloo__Settings *settings, struct sld_http_place *out,
                                          struct sld_err *err);

// What all stores of this process have done; names as in Gloo's metrics (gloo-compat 2.4). [io]
struct sld_vault_stats {
    unsigned stores; // opened so far
    uint64_t login_successes, login_failures, renew_successes, renew_failures;
    int64_t last_login_success_s, last_login_failure_s; // Unix seconds; 0 = never
    int64_t last_renew_success_s, last_renew_failure_s;
    uint64_t requests, failed_requests; // to Vault; failed: no usable answer came
    uint64_t reads, issues;             // secrets read, certificates issued
};
extern struct sld_vault_stats sld_vault_stats;
