// Private to the directory source: looking at files and directories, on libuv's pool.
//
// While a slice of a scan runs, the table of known files is the scan's, which stamps what it met;
// the io thread then only reads the table and notes writers (`writing`, `due_ns`). Between slices
// the io thread applies the results.
#pragma once

#include "source/dir/dir.h"

// What tells that a file was replaced or rewritten, without reading it.
struct sld_dir_sig {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
};

// A known file; lives in the source's table under its relative path.
struct sld_dir_file {
    struct sld_dir_sig sig;
    struct sld_hash hash;
    uint64_t scan; // the last scan that met it
    bool racy;     // changed so shortly before it was read that the signature proves nothing
    bool reread;   // its last read failed
    bool writing;  // somebody wrote to it and did not close it yet
    bool settled;
    uint64_t due_ns;        // when it settles
    struct sld_blob *bytes; // what it said, until it is settled
    struct sld_list link;   // in the source's list of unsettled files
    char path[];
};

enum sld_dir_result_type {
    SLD_DIR_READ,    // was read: bytes, sig
    SLD_DIR_MISSING, // is not there (a file or a directory)
    SLD_DIR_BAD,     // cannot be read: code, message
};

struct sld_dir_result {
    enum sld_dir_result_type type;
    char *path;
    struct sld_dir_sig sig;
    bool racy;              // as sld_dir_file.racy
    bool young;             // changed less than the quiet time ago
    struct sld_blob *bytes; // owned
    enum sld_code code;
    char *message;
};

struct sld_dir_paths {
    char **items;
    size_t count, cap;
};
void sld_dir_paths_add(struct sld_dir_paths *l, struct sld_str path);
// Removes and returns the last one (to be freed), or NULL.
char *sld_dir_paths_pop(struct sld_dir_paths *l);
void sld_dir_paths_fini(struct sld_dir_paths *l);

struct sld_dir_scan {
    // input
    const char *root;
    const struct sld_set *known; // struct sld_dir_file by path
    uint64_t number;             // of this scan, from 1
    uint64_t quiet_ms;
    size_t max_files;
    bool full;                    // the whole tree: symlinked directories are followed only then
    bool force;                   // read also what looks unchanged
    struct sld_dir_paths targets; // files and directories to look at; those given are always read
    // output
    struct sld_dir_result *results; // of the slice
    size_t result_count, result_cap;
    struct sld_dir_paths walked; // directories walked: what lies below and was not met is gone
    struct sld_dir_paths
        failed;       // directories that could not be read: nothing is known of what lies below
    bool root_failed; // the root cannot be read (a result for "" tells why)
    bool need_full;   // a full scan must follow: symlinked directories are involved
    bool done;
    // state
    bool started;
    uint64_t root_dev, root_ino;
    struct sld_dir_paths dirs, links, files;
    struct sld_map visited; // (device, inode) of directories
    size_t new_files;
    bool over;          // the ceiling of files was reached and told
    char *buffer;       // a file's bytes while they are read
    size_t buffer_size;
    size_t buffer_used; // how much of it was ever used
    size_t slice_bytes;
};

// Works until a slice's worth of results is there or all is done. Blocks. [pool]
void sld_dir_scan_run(struct sld_dir_scan *s);
// Frees the results of the slice.
void sld_dir_scan_reset(struct sld_dir_scan *s);
void sld_dir_scan_fini(struct sld_dir_scan *s);

// True for names that are read.
bool sld_dir_is_unit(struct sld_str path);
// PATH is DIR ("" = everything) or lies below it.
bool sld_dir_below(struct sld_str path, struct sld_str dir);
