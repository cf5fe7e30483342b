// The tables of everything that is built in. A new source, feature or command is one line in
// builtin.c.
#pragma once

#include "app/flags.h"
#include "secret/secret.h"
#include "source/discovery.h"
#include "translate/translate.h"

extern const struct sld_source_ops *const sld_builtin_sources[];
extern const size_t sld_builtin_source_count;
extern const struct sld_secret_store_ops *const sld_builtin_secret_stores[];
extern const size_t sld_builtin_secret_store_count;
extern const struct sld_discovery_ops *const sld_builtin_discoveries[];
extern const size_t sld_builtin_discovery_count;
extern const struct sld_feature *const sld_builtin_features[];
extern const size_t sld_builtin_feature_count;
extern const struct sld_command *const sld_builtin_commands[];
extern const size_t sld_builtin_command_count;

// The source, or the secret store, for ADDRESS; NULL when there is none.
const struct sld_source_ops *sld_builtin_source(struct sld_str address);
const struct sld_source_ops *sld_builtin_secret_store(struct sld_str address);
