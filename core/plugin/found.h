// plugin/found: what a plugin's task found, as a source of documents. All on the io thread.
#pragma once

#include "plugin/discover.h"
#include "source/source.h"

// A source of what one plugin publishes, whoever runs its task. It is fed by the functions below.
extern const struct sld_source_ops sld_plugin_source_ops;

// How long, from its opening on, its first reading may be waited for, before it counts as one that cannot be read: MS instead of
// what sld_plugin_limits_default says.
void sld_found_patience(struct sld_source *s, unsigned ms);
// For S from now on speaks another task than before: what it does not say until it is synced goes.
void sld_found_begin(struct sld_source *s);
// As the events of a task.
void sld_found_put(struct sld_source *s, struct sld_str name, struct sld_blob *bytes);
void sld_found_gone(struct sld_source *s, struct sld_str name);
void sld_found_synced(struct sld_source *s);
void sld_found_problem(struct sld_source *s, struct sld_str message);
