// The run directory: private, and one Solder at a time.
#include "edge/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static enum sld_rc make(const char *dir, struct sld_err *err)
{
    char path[EDGE_PATH_MAX];
    snprintf(path, sizeof(path), "%s", dir);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return sld_err_errno(err, errno, "Envoy's run directory %s cannot be made", dir);
        *p = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return sld_err_errno(err, errno, "Envoy's run directory %s cannot be made", dir);
    return SLD_OK;
}

// Private keys pass through the sockets in it. A directory that is open to others is refused, not
// changed: it may be somebody's by mistake.
static enum sld_rc check_private(const char *dir, struct sld_err *err)
{
    struct stat st = {0};
    if (lstat(dir, &st) != 0)
        return sld_err_errno(err, errno, "Envoy's run directory %s", dir);
    if (!S_ISDIR(st.st_mode))
        return sld_err_set(err, SLD_INVALID, "Envoy's run directory %s is not a directory", dir);
    if (st.st_uid != geteuid())
        return sld_err_set(
            err, SLD_DENIED,
            "Envoy's run directory %s belongs to another user (%ld); give another one", dir,
            (long)st.st_uid);
    if (st.st_mode & 077)
        return sld_err_set(
            err, SLD_DENIED,
            "Envoy's run directory %s is open to others (mode %04o), and private keys "
            "pass through it; chmod 700 it or give another one",
            dir, (unsigned)(st.st_mode & 07777));
    return SLD_OK;
}

static enum sld_rc take_lock(const char *dir, int *lock_fd, struct sld_err *err)
{
    char path[EDGE_PATH_MAX + 8];
    char pid[32] = "";
    snprintf(path, sizeof(path), "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sld_err_errno(err, errno, "Envoy's run directory %s cannot be locked", dir);
    // A lock of the open file: another open by ourselves is refused too, and it goes with us.
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        int errnum = errno;
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        close(fd);
        if (errnum != EAGAIN && errnum != EACCES)
            return sld_err_errno(err, errnum, "Envoy's run directory %s cannot be locked", dir);
        struct sld_str who = sld_str_trim(sld_str_c(pid));
        return sld_err_set(
            err, SLD_CONFLICT,
            "another Solder (process %.*s) supervises the Envoy of run directory %s; "
            "stop it or give this one another directory",
            SLD_FMT(who.n ? who : SLD_STR("unknown")), dir);
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        int errnum = errno;
        close(fd);
        return sld_err_errno(err, errnum, "Envoy's run directory %s cannot be written", dir);
    }
    *lock_fd = fd;
    return SLD_OK;
}

enum sld_rc edge_rundir_open(const char *dir, int *lock_fd, struct sld_err *err)
{
    enum sld_rc rc = make(dir, err);
    if (rc == SLD_OK)
        rc = check_private(dir, err);
    return rc == SLD_OK ? take_lock(dir, lock_fd, err) : rc;
}

enum sld_rc edge_rundir_write(const char *path, struct sld_str text, struct sld_err *err)
{
    char temp[EDGE_PATH_MAX + 8];
    snprintf(temp, sizeof(temp), "%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sld_err_errno(err, errno, "cannot write %s", temp);
    ssize_t n = write(fd, text.p, text.n);
    int errnum = n < 0 ? errno : ENOSPC;
    close(fd);
    if (n == (ssize_t)text.n && rename(temp, path) == 0)
        return SLD_OK;
    errnum = n == (ssize_t)text.n ? errno : errnum;
    unlink(temp);
    return sld_err_errno(err, errnum, "cannot write %s", path);
}
