// The journal of the state directory.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "source/state.h"

#define MAGIC "solder-journal"

enum {
    VERSION = 1,    // what we write
    MIN_READER = 1, // who may read what we write
    HEADER_MAX = 96,
    HASH_HEX = 32,
    BATCH_HEAD = 20, // length and hash
};

static void put_number(char *out, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (char)(unsigned char)(v >> (8 * i));
}

static uint64_t get_number(const char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

static size_t header_print(char out[HEADER_MAX], struct sld_hash base)
{
    return (size_t)snprintf(out, HEADER_MAX, MAGIC " %d %d %016llx%016llx\n", VERSION, MIN_READER,
                            (unsigned long long)base.hi, (unsigned long long)base.lo);
}

static struct sld_hash chain_after(struct sld_hash chain, struct sld_str records)
{
    return sld_hash_mix(chain, sld_hash_bytes(records));
}

// ---- Reading ----

// Takes the header off *S. False when it is none, or for newer readers, or names another file.
static bool header_take(struct sld_str *s, struct sld_hash base)
{
    struct sld_str line, magic, version, reader;
    uint64_t v, r;
    char own[HEADER_MAX];
    size_t n = header_print(own, base);
    if (!sld_str_cut(s, '\n', &line) || !s->p)
        return false;
    if (!sld_str_cut(&line, ' ', &magic) || !sld_str_cut(&line, ' ', &version) ||
        !sld_str_cut(&line, ' ', &reader) || !sld_str_eq(magic, SLD_STR(MAGIC)) ||
        !sld_str_u64(version, &v) || !sld_str_u64(reader, &r) || r > VERSION)
        return false;
    return sld_str_eq(line, sld_str_n(own + n - 1 - HASH_HEX, HASH_HEX));
}

// Takes one whole batch off *S and moves *CHAIN on.
static bool batch_take(struct sld_str *s, struct sld_hash *chain, struct sld_str *records)
{
    if (s->n < BATCH_HEAD)
        return false;
    size_t n = (size_t)get_number(s->p, 4);
    struct sld_hash said = {get_number(s->p + 4, 8), get_number(s->p + 12, 8)};
    if (n > s->n - BATCH_HEAD)
        return false;
    *records = sld_str_n(s->p + BATCH_HEAD, n);
    struct sld_hash is = chain_after(*chain, *records);
    if (!sld_hash_eq(is, said))
        return false;
    *chain = is;
    *s = sld_str_sub(*s, BATCH_HEAD + n, s->n);
    return true;
}

static void batches_read(struct sld_str all, struct state_journal *j,
                         void (*add)(const struct state_change *c, void *arg), void *arg)
{
    struct sld_str s = all, records;
    if (!header_take(&s, j->base))
        return;
    struct sld_hash chain = sld_hash_bytes(sld_str_n(all.p, all.n - s.n));
    for (;;) {
        j->bytes = all.n - s.n;
        j->chain = chain;
        if (!batch_take(&s, &chain, &records) || !state_records_each(records, add, arg))
            return;
    }
}

enum sld_rc state_journal_read(int dir_fd, struct state_journal *j,
                               void (*add)(const struct state_change *c, void *arg), void *arg,
                               struct sld_err *err)
{
    char *bytes;
    size_t n;
    j->bytes = 0;
    enum sld_rc rc =
        state_load(dir_fd, "journal", 2 * SLD_STATE_MAX_JOURNAL_BYTES, &bytes, &n, err);
    if (rc == SLD_OK)
        batches_read(sld_str_n(bytes, n), j, add, arg);
    sld_xfree(bytes);
    return rc;
}

// ---- Writing ----

static int write_at(int fd, size_t at, struct sld_str s)
{
    while (s.n > 0) {
        ssize_t n = pwrite(fd, s.p, s.n, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        at += (size_t)n;
        s = sld_str_sub(s, (size_t)n, s.n);
    }
    return 0;
}

// Writes S behind the first AT bytes of the journal, which are kept; the file is new when AT is 0.
static int batch_write(int dir_fd, size_t at, struct sld_str s)
{
    int fd = openat(dir_fd, "journal", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int errnum = ftruncate(fd, (off_t)at) != 0 ? errno : 0;
    if (!errnum)
        errnum = write_at(fd, at, s);
    if (!errnum && fdatasync(fd) != 0)
        errnum = errno;
    if (!errnum && at == 0 && fsync(dir_fd) != 0)
        errnum = errno;
    if (errnum && ftruncate(fd, (off_t)at) != 0)
        errno = 0; // what is torn is not read
    close(fd);
    return errnum;
}

enum sld_rc state_journal_append(int dir_fd, struct state_journal *j, struct sld_str records,
                                 struct sld_err *err)
{
    struct sld_buf b;
    char head[HEADER_MAX];
    struct sld_hash chain = j->chain;
    sld_buf_init(&b, HEADER_MAX + BATCH_HEAD + records.n);
    if (j->bytes == 0) {
        sld_buf_add(&b, sld_str_n(head, header_print(head, j->base)));
        chain = sld_hash_bytes(sld_buf_str(&b));
    }
    chain = chain_after(chain, records);
    put_number(head, records.n, 4);
    put_number(head + 4, chain.lo, 8);
    put_number(head + 12, chain.hi, 8);
    sld_buf_add(&b, sld_str_n(head, BATCH_HEAD));
    sld_buf_add(&b, records);
    int errnum = batch_write(dir_fd, j->bytes, sld_buf_str(&b));
    size_t n = b.n;
    sld_buf_fini(&b);
    if (errnum)
        return sld_err_errno(err, errnum, "the journal of the accepted state cannot be written");
    j->bytes += n;
    j->chain = chain;
    return SLD_OK;
}
