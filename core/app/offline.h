// The server's way from files to resources without a server: for check and translate.
#pragma once

#include "source/source.h"
#include "translate/translate.h"

struct sld_offline {
    struct sld_intake *intake;
    struct sld_translate *translate;
    struct sld_translate_result result;
    struct sld_arena arena;
    size_t documents; // resources read
};

struct sld_offline_options {
    const char *const *paths;  // directories or files, NULL-terminated
    const char *settings_file; // or NULL
    const char *settings_name; // "gloo-system/default" when NULL
    const char *services;      // file of sld_discovery_read, or NULL
    int64_t now_s;             // 0 = the clock's
};

// Reads and translates everything. Fill a zeroed struct; end with sld_offline_fini in any case.
SLD_NODISCARD enum sld_rc
sld_offline_load(struct sld_offline *o, const struct sld_offline_options *opt, struct sld_err *err);
void sld_offline_fini(struct sld_offline *o);
