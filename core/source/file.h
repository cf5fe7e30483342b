// Whole small files.
#pragma once

#include "base/base.h"

// Reads FILE, of at most MAX bytes, into A. Messages name the file as WHAT ("settings file").
SLD_NODISCARD enum sld_rc sld_file_read(struct sld_arena *a, const char *what, const char *file,
                                        size_t max, struct sld_str *out, struct sld_err *err);
// Reads FILE, which holds one token, key or password of at most 64 KiB, into A without the white space at its ends;
// A is the caller's to wipe. Never waits: a pipe that nothing is in yet is SLD_INVALID like any empty file. SLD_IO,
// SLD_LIMIT.
SLD_NODISCARD enum sld_rc sld_secret_file_read(struct sld_arena *a, const char *what, struct sld_str file,
                                               struct sld_str *out, struct sld_err *err);
