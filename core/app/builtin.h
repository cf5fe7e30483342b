// The tables of everything that is built in. A new source, feature or command is one line in builtin.c.
#pragma once

#include "app/flags.h"
#include "source/source.h"
#include "translate/translate.h"

extern const struct sld_source_ops *const sld_builtin_sources[];
extern const size_t sld_builtin_source_count;
extern const struct sld_feature *const sld_builtin_features[];
extern const size_t sld_builtin_feature_count;
extern const struct sld_command *const sld_builtin_commands[];
extern const size_t sld_builtin_command_count;

// The source for ADDRESS, or NULL.
const struct sld_source_ops *sld_builtin_source(struct sld_str address);
