// Which Envoy: its file and its version.
#include "edge/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MIN_MAJOR = 1, MIN_MINOR = 37 }; // SLD_EDGE_MIN_VERSION

static bool runnable(const char *path)
{
    struct stat st = {0};
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static enum sld_rc find_on_path(struct sld_str name, char out[EDGE_PATH_MAX], struct sld_err *err)
{
    struct sld_str dirs = sld_str_c(getenv("PATH"));
    struct sld_str dir = SLD_STR_NONE;
    while (sld_str_cut(&dirs, ':', &dir)) {
        if (dir.n == 0)
            continue; // the working directory: nobody means that
        int n = snprintf(out, EDGE_PATH_MAX, "%.*s/%.*s", SLD_FMT(dir), SLD_FMT(name));
        if (n > 0 && n < EDGE_PATH_MAX && runnable(out))
            return SLD_OK;
    }
    return sld_err_set(err, SLD_NOT_FOUND,
                       "there is no program \"%.*s\" on PATH; install Envoy (" SLD_EDGE_MIN_VERSION
                       " or newer), or give its path: --envoy PATH",
                       SLD_FMT(name));
}

enum sld_rc edge_program_find(struct sld_str given, char out[EDGE_PATH_MAX], struct sld_err *err)
{
    if (given.n == 0)
        given = SLD_STR("envoy");
    if (sld_str_index(given, '/') < 0)
        return find_on_path(given, out, err);
    int n = snprintf(out, EDGE_PATH_MAX, "%.*s", SLD_FMT(given));
    struct stat st = {0};
    if (n >= EDGE_PATH_MAX)
        return sld_err_set(err, SLD_INVALID, "the path of Envoy is too long");
    if (stat(out, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return sld_err_set(err, SLD_NOT_FOUND, "there is no Envoy at %s", out);
        return sld_err_errno(err, errno, "Envoy at %s", out);
    }
    if (!runnable(out))
        return sld_err_set(err, SLD_DENIED, "%s is not a program that this user may run", out);
    return SLD_OK;
}

// "1.40.0" or "1.37.1-dev" to its first two numbers.
static bool numbers(struct sld_str version, uint64_t *major, uint64_t *minor)
{
    struct sld_str rest = version;
    struct sld_str a = SLD_STR_NONE;
    struct sld_str b = SLD_STR_NONE;
    return sld_str_cut(&rest, '.', &a) && sld_str_cut(&rest, '.', &b) && rest.n > 0 &&
           sld_str_u64(a, major) && sld_str_u64(b, minor);
}

// The version goes through a command line and a protocol of words.
static bool clean(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    }
    return true;
}

enum sld_rc edge_version_read(const char *program, struct sld_str printed,
                              char out[EDGE_VERSION_MAX], struct sld_err *err)
{
    // "/path/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    ptrdiff_t at = sld_str_find(printed, SLD_STR("version: "));
    struct sld_str rest = at < 0 ? SLD_STR_NONE : sld_str_sub(printed, (size_t)at + 9, printed.n);
    struct sld_str commit = SLD_STR_NONE;
    struct sld_str version = SLD_STR_NONE;
    uint64_t major = 0;
    uint64_t minor = 0;
    (void)sld_str_cut(&rest, '/', &commit);
    (void)sld_str_cut(&rest, '/', &version);
    if (version.n >= EDGE_VERSION_MAX || !clean(version) || !numbers(version, &major, &minor))
        return sld_err_set(
            err, SLD_INVALID,
            "%s does not say its version as Envoy does; is it Envoy? It printed: %.*s", program,
            SLD_FMT(sld_str_trim(sld_str_sub(printed, 0, 200))));
    if (major < MIN_MAJOR || (major == MIN_MAJOR && minor < MIN_MINOR))
        return sld_err_set(err, SLD_INVALID,
                           "%s is Envoy %.*s, and Solder needs " SLD_EDGE_MIN_VERSION
                           " or newer; install a newer one or give another path",
                           program, SLD_FMT(version));
    snprintf(out, EDGE_VERSION_MAX, "%.*s", SLD_FMT(version));
    return SLD_OK;
}

// ---- Asking it ----

bool edge_program_known(struct sld_edge *e)
{
    struct stat st = {0};
    const struct stat *old = &e->program_stat;
    if (stat(e->program, &st) != 0)
        return false;
    bool same = e->version[0] && st.st_dev == old->st_dev && st.st_ino == old->st_ino &&
                st.st_size == old->st_size && st.st_mtim.tv_sec == old->st_mtim.tv_sec &&
                st.st_mtim.tv_nsec == old->st_mtim.tv_nsec;
    e->program_stat = st;
    return same;
}

static void on_printed(struct sld_str line, bool is_stderr, void *user)
{
    struct sld_edge *e = user;
    (void)is_stderr;
    sld_buf_add(&e->printed, line);
    sld_buf_addc(&e->printed, '\n');
}

static void on_checked(int64_t status, int signum, void *user)
{
    struct sld_edge *e = user;
    struct sld_err err = {0};
    struct sld_str printed = e->printed.n ? sld_buf_str(&e->printed) : SLD_STR("");
    sld_child_destroy(e->child);
    e->child = NULL;
    e->version[0] = 0;
    enum sld_rc rc = SLD_OK;
    if (signum)
        rc = sld_err_set(&err, SLD_INVALID, "%s --version was killed by signal %d (%s)", e->program,
                         signum, strsignal(signum));
    else if (status)
        rc = sld_err_set(&err, SLD_INVALID, "%s --version ended with status %d: %.*s", e->program,
                         (int)status, SLD_FMT(sld_str_trim(sld_str_sub(printed, 0, 200))));
    else
        rc = edge_version_read(e->program, printed, e->version, &err);
    SLD_INV(rc == err.rc);
    edge_checked(e, &err);
}

enum sld_rc edge_check_start(struct sld_edge *e, struct sld_err *err)
{
    const char *const argv[] = {e->program, "--version", NULL};
    const struct sld_child_options o = {
        .argv = argv, .on_line = on_printed, .on_exit = on_checked, .user = e};
    sld_buf_reset(&e->printed);
    enum sld_rc rc = sld_child_start(e->loop, &o, &e->child, err);
    if (rc != SLD_OK)
        e->child = NULL;
    return rc;
}
