// A throw-away directory for tests, and the few things tests do to files in it.
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree_root[256];

static inline void tree_create(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(tree_root, sizeof(tree_root), "%s/solder-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(tree_root))
        abort();
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    chmod(path, 0700);
    return remove(path);
}

static inline void tree_destroy(void)
{
    nftw(tree_root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// ROOT/REL in one of a few rotating buffers.
static inline const char *tree_path(const char *rel)
{
    static char buf[4][8192];
    static unsigned at;
    char *p = buf[at++ % 4];
    snprintf(p, sizeof(buf[0]), *rel ? "%s/%s" : "%s%s", tree_root, rel);
    return p;
}

// Opens REL, cut to nothing, and writes TEXT; the descriptor.
static inline int tree_begin(const char *rel, const char *text)
{
    int fd = open(tree_path(rel), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        abort();
    return fd;
}

static inline void tree_write(const char *rel, const char *text)
{
    close(tree_begin(rel, text));
}

// As editors and sed -i do: a new file renamed over the old one.
static inline void tree_replace(const char *rel, const char *text)
{
    tree_write(".new", text);
    if (rename(tree_path(".new"), tree_path(rel)) != 0)
        abort();
}

static inline void tree_mkdir(const char *rel)
{
    if (mkdir(tree_path(rel), 0755) != 0)
        abort();
}

static inline void tree_rename(const char *from, const char *to)
{
    if (rename(tree_path(from), tree_path(to)) != 0)
        abort();
}

static inline void tree_unlink(const char *rel)
{
    if (remove(tree_path(rel)) != 0)
        abort();
}

static inline void tree_symlink(const char *target, const char *rel)
{
    if (symlink(target, tree_path(rel)) != 0)
        abort();
}
