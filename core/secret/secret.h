// secret: where secret values come from besides the sources of configuration. A store tells of
// Secret documents as a source tells of units: bytes of any form of gloo-compat 2.5 and 2.6 at a
// path; the intake turns them into objects and takes nothing but Secrets from it.
//
// A new store is one folder here and one line in app/builtin.c.
#pragma once

#include "source/source.h"

// Instances are struct sld_source: what the store tells, when it counts as down, and how long its
// last word stays are a source's rules. A path "secrets/<namespace>/<name>..." gives kind and
// namespace to documents that do not say them.
struct sld_secret_store_ops {
    struct sld_source_ops source;
    // Fills up to MAX numbers of all stores of this type and returns how many there are. NULL: none.
    // [io]
    size_t (*metrics)(struct sld_source_metric *out, size_t max);
};
