// The directory store: Secret documents in files, apart from the configuration, so that the two can
// have other owners and modes. Layouts: "secrets/<namespace>/..." (gloo-compat 2.3) and, mended,
// "<namespace>/..." (9.2.6).
#pragma once

#include "secret/secret.h"

extern const struct sld_secret_store_ops sld_secret_dir_ops;
