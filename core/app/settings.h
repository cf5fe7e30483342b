// Settings: which document counts and what is in force. Precedence: --settings FILE, then the
// Settings resource.
#pragma once

#include "source/source.h"

#include "settings.pb-c.h"

// Flags of every command that reads settings, for its table.
#define SLD_SETTINGS_FLAGS                                                                         \
    {.name = "settings",                                                                           \
     .arg = "FILE",                                                                                \
     .env = "SOLDER_SETTINGS",                                                                     \
     .help = "settings that win over the Settings resource"},                                      \
    {                                                                                              \
        .name = "settings-name", .arg = "NS/NAME", .env = "SOLDER_SETTINGS_NAME",                  \
        .help = "the Settings resource; default gloo-system/default"                               \
    }

#define SLD_PLUGINS_FLAG                                                                           \
    {                                                                                              \
        .name = "plugins", .arg = "DIR", .env = "SOLDER_PLUGINS",                                  \
        .help = "folder of plugins: NAME.lua, or NAME with plugin.lua in it"                       \
    }

// Reads --settings FILE (YAML or JSON; Kubernetes or flat form). The object is in *OUT (unref);
// findings are in its `findings`; its errors make this SLD_INVALID with the first one as words.
SLD_NODISCARD enum sld_rc sld_settings_read(const char *file, struct sld_object **out,
                                            struct sld_err *err);
// FILE's fields over RESOURCE's (either may be NULL), in A. Never NULL.
Gloo__Settings *sld_settings_merge(struct sld_arena *a, const Gloo__Settings *file,
                                   const Gloo__Settings *resource);
// The control plane's own namespace by S.
struct sld_str sld_settings_own_ns(const Gloo__Settings *s);
// Lets only objects of the namespaces that S watches count in IN.
void sld_settings_watch(struct sld_intake *in, const Gloo__Settings *s);
// The key "settings/ns/name" of NAME ("ns/name"; NULL = gloo-system/default) in A; SLD_INVALID for
// other forms.
SLD_NODISCARD enum sld_rc sld_settings_key(struct sld_arena *a, const char *name,
                                           struct sld_str *out, struct sld_err *err);
