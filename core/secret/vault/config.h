// Where Vault is and who we are there. Room-internal.
#pragma once

#include "base/base.h"

struct Gloo__Settings;

enum vault_method {
    VAULT_NO_TOKEN, // an agent adds its own
    VAULT_TOKEN,
    VAULT_TOKEN_FILE,
    VAULT_APP_ROLE,
    VAULT_KUBERNETES,
    VAULT_JWT,
    VAULT_CERTIFICATE,
    VAULT_USERPASS,
    VAULT_AWS,
};

// Settings, VAULT_* variables and defaults put together; everything lives in the arena, which is
// wiped. Absent slices: not given.
struct vault_config {
    struct sld_arena arena;
    struct sld_str base;        // "https://vault:8200", without a slash at the end
    struct sld_str unix_socket; // path
    struct sld_str mount, root; // "secret", "gloo"
    struct sld_str ns;          // of all paths
    struct sld_str ca_file, ca_path, cert_file, key_file, server_name;
    bool insecure;
    unsigned kv_version; // of mount; 0: ask
    uint64_t timeout_ms, refresh_ms;
    unsigned max_requests;
    bool revoke_on_exit, revoke_certificates;

    enum vault_method method;
    struct sld_str auth_mount; // "approle"
    struct sld_str role;       // role id, role
    struct sld_str role_file;
    struct sld_str user;
    struct sld_str secret;      // token, secret id, JWT, password
    struct sld_str secret_file; // or the file that holds it
    bool wrapped;
    struct { // of method aws
        struct sld_str access_key, secret_key, session_token;
        struct sld_str region, endpoint, server_id;
    } aws;
    int32_t lease_increment_s; // asked for at renewals; 0: Vault chooses
    struct sld_hash session_hash; // of what a login depends on: where Vault is, who we are
    struct sld_hash hash;         // of everything but refresh_ms
};

// ADDRESS as in vault.h. SLD_INVALID with words on how to mend it; CFG, zeroed before, needs no
// fini then.
SLD_NODISCARD enum sld_rc vault_config_make(struct vault_config *cfg, struct sld_str address,
                                            const struct Gloo__Settings *settings,
                                            struct sld_err *err);
void vault_config_fini(struct vault_config *cfg);
bool vault_address_matches(struct sld_str address);
