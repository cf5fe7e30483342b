// Whole small files.
#pragma once

#include "base/base.h"

// Reads FILE, of at most MAX bytes, into A. Messages name the file as WHAT ("settings file").
SLD_NODISCARD enum sld_rc sld_file_read(struct sld_arena *a, const char *what, const char *file,
                                        size_t max, struct sld_str *out, struct sld_err *err);
