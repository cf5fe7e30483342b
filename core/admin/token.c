// Bearer tokens from a file, one per line, so that a new one can be handed out before the old one goes.
#include "admin/inside.h"

#include <sys/stat.h>

static void forget(struct tokens *t)
{
    char *text = (char *)(uintptr_t)t->text.p;
    if (text)
        sld_wipe(text, t->text.n);
    sld_xfree(text);
    t->text = SLD_STR_NONE;
}

static int64_t mtime_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

// The next token of *REST; absent at the end. Empty lines and comments are passed over.
static struct sld_str next_token(struct sld_str *rest)
{
    struct sld_str line = SLD_STR_NONE;
    while (sld_str_cut(rest, '\n', &line)) {
        line = sld_str_trim(line);
        if (line.n && line.p[0] != '#')
            return line;
    }
    return SLD_STR_NONE;
}

static enum sld_rc check(const char *path, struct sld_str text, struct sld_err *err)
{
    size_t count = 0;
    for (struct sld_str token; (token = next_token(&text)).p; count++) {
        if (token.n < TOKEN_MIN_BYTES)
            return sld_err_set(err, SLD_INVALID,
                               "token %zu in %s is shorter than %d characters: make one with "
                               "`openssl rand -hex 32`",
                               count + 1, path, TOKEN_MIN_BYTES);
    }
    if (!count)
        return sld_err_set(err, SLD_INVALID, "%s holds no token: write one per line", path);
    return SLD_OK;
}

static enum sld_rc load(struct tokens *t, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str text = SLD_STR("");
    struct stat st = {0};
    // Looked at before reading: a change in between is seen the next time.
    enum sld_rc rc = stat(t->path, &st) == 0
                         ? access_read_file(&a, sld_str_c(t->path), TOKEN_FILE_MAX_BYTES, &text, err)
                         : sld_err_set(err, SLD_NOT_FOUND, "there is no file %s", t->path);
    if (rc == SLD_OK)
        rc = check(t->path, text, err);
    forget(t);
    t->mtime_ns = mtime_of(&st);
    t->size = st.st_size;
    t->inode = st.st_ino;
    if (rc == SLD_OK) {
        char *own = sld_xalloc(text.n);
        memcpy(own, text.p, text.n);
        t->text = (struct sld_str){own, text.n};
    }
    sld_arena_fini_secret(&a);
    return rc;
}

enum sld_rc tokens_open(struct tokens *t, struct sld_str path, struct sld_err *err)
{
    t->path = sld_xcalloc(1, path.n + 1);
    memcpy(t->path, path.p, path.n);
    enum sld_rc rc = load(t, err);
    if (rc != SLD_OK)
        tokens_close(t);
    return rc;
}

void tokens_close(struct tokens *t)
{
    forget(t);
    sld_xfree(t->path);
    t->path = NULL;
}

static void refresh(struct tokens *t)
{
    struct stat st = {0};
    struct sld_err err = {0};
    uint64_t suppressed;
    bool there = stat(t->path, &st) == 0;
    if (there && t->text.p && mtime_of(&st) == t->mtime_ns && st.st_size == t->size &&
        st.st_ino == t->inode)
        return;
    if (load(t, &err) != SLD_OK && sld_log_gate_open(&t->gate, 60 * 1000, &suppressed))
        SLD_LOG(SLD_LOG_ERROR, "admin", "tokens_unusable", SLD_KC("msg", err.msg),
                SLD_KI("suppressed", suppressed));
}

// Takes a time that depends on GIVEN alone.
static bool same(struct sld_str token, struct sld_str given)
{
    unsigned diff = token.n != given.n;
    for (size_t i = 0; i < given.n; i++)
        diff |= (unsigned)(unsigned char)token.p[i % token.n] ^ (unsigned char)given.p[i];
    return diff == 0;
}

bool tokens_match(struct tokens *t, struct sld_str authorization)
{
    struct sld_str given = authorization, scheme = SLD_STR_NONE;
    bool found = false;
    refresh(t);
    (void)sld_str_cut(&given, ' ', &scheme);
    if (!given.p || !sld_str_ieq(scheme, SLD_STR("bearer")) || !t->text.p)
        return false;
    given = sld_str_trim(given);
    struct sld_str rest = t->text;
    for (struct sld_str token; (token = next_token(&rest)).p;)
        found |= same(token, given);
    return found;
}
