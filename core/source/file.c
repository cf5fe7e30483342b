// Whole small files.
#include "source/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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

enum sld_rc sld_file_read(struct sld_arena *a, const char *what, const char *file, size_t max,
                          struct sld_str *out, struct sld_err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
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
