// plugin/author: what the commands for authors of plugins stand on.
#pragma once

#include "plugin/plugin.h"

// ---- Mistakes ----

// One thing that is wrong.
struct sld_plugin_fault {
    enum sld_severity severity;
    struct sld_str file; // below the plugin's folder
    int line;            // 0: none
    struct sld_str words;
};

struct sld_plugin_faults {
    struct sld_arena arena;
    struct sld_plugin_fault *items; // by file and line
    size_t count, errors;
};

// Looks at B: the syntax of all files, names that nobody defined, fields that configuration, messages and context do
// not have, needs that are not declared, and whether it loads. Fill a zeroed OUT; end with sld_plugin_faults_fini.
// The plugin, if it loads, in *PLUGIN (a reference; PLUGIN may be NULL).
void sld_plugin_lint(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct sld_plugin_faults *out,
                     struct sld_plugin **plugin);
void sld_plugin_faults_fini(struct sld_plugin_faults *f);

// ---- Manuals ----

// The manual of P as Markdown: what it is for, its hooks and needs, its configuration.
void sld_plugin_print_manual(struct sld_buf *out, const struct sld_plugin *p);
// The JSON Schema of P's configuration.
void sld_plugin_print_schema(struct sld_buf *out, const struct sld_plugin *p);
