// Everything that is built in: explicit tables, alphabetical by name.
#include "app/builtin.h"

#include "secret/dir/dir.h"
#include "secret/vault/vault.h"
#include "source/consul/consul.h"
#include "source/consul/services.h"
#include "source/dir/dir.h"

// ---- Sources ----

const struct sld_source_ops *const sld_builtin_sources[] = {
    &sld_consul_source_ops,
    &sld_dir_source_ops,
};
const size_t sld_builtin_source_count = SLD_ARRAY_LEN(sld_builtin_sources);

const struct sld_source_ops *sld_builtin_source(struct sld_str address)
{
    for (size_t i = 0; i < sld_builtin_source_count; i++) {
        if (sld_builtin_sources[i]->matches(address))
            return sld_builtin_sources[i];
    }
    return NULL;
}

// ---- Secret stores ----

const struct sld_secret_store_ops *const sld_builtin_secret_stores[] = {
    &sld_secret_dir_ops,
    &sld_secret_vault_ops,
};
const size_t sld_builtin_secret_store_count = SLD_ARRAY_LEN(sld_builtin_secret_stores);

const struct sld_source_ops *sld_builtin_secret_store(struct sld_str address)
{
    for (size_t i = 0; i < sld_builtin_secret_store_count; i++) {
        if (sld_builtin_secret_stores[i]->source.matches(address))
            return &sld_builtin_secret_stores[i]->source;
    }
    return NULL;
}

// ---- Discoveries of services ----

const struct sld_discovery_ops *const sld_builtin_discoveries[] = {
    &sld_consul_discovery_ops,
};
const size_t sld_builtin_discovery_count = SLD_ARRAY_LEN(sld_builtin_discoveries);

// ---- Features: the options of resources ----

#define FEATURES(X)                                                                                \
    X(access_logging_service)                                                                      \
    X(auto_host_rewrite)                                                                           \
    X(cors)                                                                                        \
    X(extensions)                                                                                  \
    X(faults)                                                                                      \
    X(grpc_web)                                                                                    \
    X(gzip)                                                                                        \
    X(header_manipulation)                                                                         \
    X(health_check)                                                                                \
    X(host_rewrite)                                                                                \
    X(http_connection_manager_settings)                                                            \
    X(lb_hash)                                                                                     \
    X(prefix_rewrite)                                                                              \
    X(proxy_protocol)                                                                              \
    X(regex_rewrite)                                                                               \
    X(retries)                                                                                     \
    X(shadowing)                                                                                   \
    X(timeout)                                                                                     \
    X(tracing)                                                                                     \
    X(upgrades)

#define DECLARE(name) extern const struct sld_feature sld_feature_##name;
FEATURES(DECLARE)

const struct sld_feature *const sld_builtin_features[] = {
#define ENTRY(name) &sld_feature_##name,
    FEATURES(ENTRY)};
const size_t sld_builtin_feature_count = SLD_ARRAY_LEN(sld_builtin_features);

// ---- Commands ----

#define COMMANDS(X)                                                                                \
    X(apply)                                                                                       \
    X(bootstrap)                                                                                   \
    X(check)                                                                                       \
    X(completion)                                                                                  \
    X(delete)                                                                                      \
    X(describe)                                                                                    \
    X(diff)                                                                                        \
    X(get)                                                                                         \
    X(keeper)                                                                                      \
    X(plugin)                                                                                      \
    X(run)                                                                                         \
    X(translate)                                                                                   \
    X(version)                                                                                     \
    X(worker)

#define DECLARE_COMMAND(name) extern const struct sld_command sld_cmd_##name;
COMMANDS(DECLARE_COMMAND)

const struct sld_command *const sld_builtin_commands[] = {
#define COMMAND_ENTRY(name) &sld_cmd_##name,
    COMMANDS(COMMAND_ENTRY)};
const size_t sld_builtin_command_count = SLD_ARRAY_LEN(sld_builtin_commands);
