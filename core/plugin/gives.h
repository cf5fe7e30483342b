// plugin/gives: the secrets that plugins give, as a secret store that is asked for what the configuration refers to. All on the
// io thread.
#pragma once

#include "plugin/discover.h"
#include "source/source.h"

// A store of Secrets called "plugin:<plugin>/<reference>", whoever asks the plugins. Its address:
#define SLD_GIVES_ADDRESS "secrets of plugins"
extern const struct sld_source_ops sld_plugin_secrets_ops;

// From now on WANT is told what plugins are to be asked for. Before the first want.
void sld_gives_attach(struct sld_source *s, void (*want)(void *user, struct sld_str plugin, struct sld_str ref, bool wanted), void *user);
// The plugins of P (NULL: none) that have the hook are there; ALL: no others are on their way.
void sld_gives_plans(struct sld_source *s, const struct sld_discover_plans *p, bool all);
// What came of asking.
void sld_gives_take(struct sld_source *s, const struct sld_secret_news *n);
