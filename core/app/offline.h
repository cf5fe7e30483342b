// The server's way from files to resources without a server: for check and translate.
#pragma once

#include "source/store.h"
#include "translate/translate.h"

struct sld_offline {
    struct sld_intake *intake;
    struct sld_translate *translate;
    struct sld_translate_result result;
    struct sld_arena arena;
    size_t documents; // resources read
    // A store of secrets that Settings name and that was not read, in words; absent: there is none.
    struct sld_str unread;
};

// Text that was read before.
struct sld_offline_unit {
    struct sld_str source, path; // together what origins begin with; units of one source in a row
    struct sld_str bytes;
};

struct sld_offline_options {
    const char *const *paths; // directories, files or addresses of sources, NULL-terminated; or NULL
    const struct sld_offline_unit *units; // besides
    size_t unit_count;
    // What is in a store besides, where the rest does not say something else; it counts as accepted
    // before. NULL: nothing.
    struct sld_store *store;
    struct sld_str store_name; // of its origins
    struct sld_str default_ns; // of documents without a namespace; absent: gloo-system
    const char *settings_file; // or NULL
    const char *settings_name; // "gloo-system/default" when NULL
    const char *services;      // file of sld_discovery_read, or NULL
    const char *plugins;       // folder of plugins, or NULL
    struct sld_str plugin_name; // one more plugin, instead of theirs: its name, or absent
    struct sld_plugin_slot *plugin; // and it (borrowed)
    int64_t now_s;             // 0 = the clock's
};

// What the flags --settings, --settings-name, --services and --plugins in A say, for PATHS (NULL-terminated;
// borrowed, as A's values are).
struct sld_args;
struct sld_offline_options sld_offline_options_of(const struct sld_args *a, const char *const *paths);
// Reads and translates everything. Fill a zeroed struct; end with sld_offline_fini in any case.
SLD_NODISCARD enum sld_rc
sld_offline_load(struct sld_offline *o, const struct sld_offline_options *opt, struct sld_err *err);
void sld_offline_fini(struct sld_offline *o);
// Writes O as an object: type, role, name, version, resource (secrets as ***).
void sld_offline_out_json(struct sld_json *j, const struct sld_out *o);
// What the origins of the documents of PATH begin with: the directory, for a file the one it lies in.
struct sld_str sld_offline_source_name(const char *path);
