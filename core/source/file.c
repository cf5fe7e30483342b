// Whole small files.
#include "source/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { SECRET_MAX_BYTES = 64 * 1024 };

static enum sld_rc read_all(int fd, char *p, size_t max, size_t *n, struct sld_err *err)
{
    while (*n <= max) {
        ssize_t got = read(fd, p + *n, max + 1 - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sld_err_errno(err, errno, "read");
        if (got == 0)
            return SLD_OK;
        *n += (size_t)got;
    }
    return sld_err_set(err, SLD_LIMIT, "it is larger than %zu bytes", max);
}

static enum sld_rc read_file(struct sld_arena *a, const char *what, const char *file, size_t max,
                             int flags, struct sld_str *out, struct sld_err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0)
        return sld_err_errno(err, errno, "%s %s", what, file);
    char *p = sld_arena_alloc(a, max + 1);
    size_t n = 0;
    enum sld_rc rc = read_all(fd, p, max, &n, err);
    close(fd);
    if (rc)
        return sld_err_wrap(err, "%s %s", what, file);
    *out = sld_str_n(p, n);
    return SLD_OK;
}

enum sld_rc sld_file_read(struct sld_arena *a, const char *what, const char *file, size_t max,
                          struct sld_str *out, struct sld_err *err)
{
    return read_file(a, what, file, max, 0, out, err);
}

enum sld_rc sld_secret_file_read(struct sld_arena *a, const char *what, struct sld_str file,
                                 struct sld_str *out, struct sld_err *err)
{
    struct sld_arena draft = {0};
    struct sld_str text;
    const char *name = sld_arena_cstr(&draft, file);
    enum sld_rc rc = read_file(&draft, what, name, SECRET_MAX_BYTES, O_NONBLOCK, &text, err);
    if (rc == SLD_OK) {
        text = sld_str_trim(text);
        if (text.n)
            *out = sld_arena_str(a, text);
        else
            rc = sld_err_set(err, SLD_INVALID, "%s %s is empty", what, name);
    }
    sld_arena_fini_secret(&draft);
    return rc;
}
