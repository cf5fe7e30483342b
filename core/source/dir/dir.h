// The directory source: *.yaml, *.yml and *.json at any depth below a directory.
#pragma once

#include "source/source.h"

extern const struct sld_source_ops sld_dir_source_ops;
extern const struct sld_store_ops sld_dir_store_ops;

// Ceilings on what a directory may hold; what is beyond is a problem, never read.
enum {
    SLD_DIR_MAX_FILE_BYTES = 16 * 1024 * 1024,
    SLD_DIR_MAX_FILES = 1000 * 1000,
    SLD_DIR_MAX_DEPTH = 32,
};

struct sld_dir_options {
    uint64_t quiet_ms;   // how long a file must be unchanged to be settled; 250
    uint64_t writing_ms; // the same while somebody holds it open and wrote to it; 5000
    uint64_t net_ms;     // period of the walk that finds what no event told; 30000, or refreshRate
    uint64_t poll_ms;    // the same when the kernel has no watches left; 1000
    size_t max_files;
};
void sld_dir_options_default(struct sld_dir_options *o);

// sld_dir_source_ops.open with options (NULL = defaults).
SLD_NODISCARD enum sld_rc sld_dir_open(struct sld_loop *io, struct sld_str root,
                                       const struct sld_dir_options *o,
                                       const struct sld_source_events *ev, struct sld_source **out,
                                       struct sld_err *err);

// The folder from which sld_dir_read counts the path of the single FILE: the one with "<plural>/<namespace>/" where FILE
// is there, for that says what it is, else its own. A part of FILE, or ".". [any]
struct sld_str sld_dir_file_root(struct sld_str file);

// Reads directory (or single file) ROOT once, without a loop, and tells all of it settled; for
// offline commands. Blocks. SLD_NOT_FOUND when there is no ROOT. [any]
SLD_NODISCARD enum sld_rc sld_dir_read(struct sld_str root, const struct sld_source_events *ev,
                                       struct sld_err *err);
