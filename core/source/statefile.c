// The file of accepted forms: reading and writing.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/text.h"
#include "source/state.h"

#define MAGIC "solder-state"

enum { CHUNK = 256 * 1024, HEADER_MAX = 64, FIELD_HEAD = 5, RECORD_HEAD = 4, HASH_BYTES = 16 };

// Numbers are never reused.
enum tag {
    TAG_SOURCE = 1,
    TAG_KIND, // the plural
    TAG_NS,
    TAG_NAME,
    TAG_FORM,   // a form begins: the time it was accepted; newest first
    TAG_ORIGIN, // the rest is of the form
    TAG_PATH,
    TAG_DEFAULT_NS,
    TAG_LINE,
    TAG_ITEM,
    TAG_TEXT,
    TAG_REFUSAL,      // of the object: the document's hash, then Envoy's words
    TAG_REFUSED_KIND, // instead of TAG_KIND, where nothing was accepted
    TAG_FORGOTTEN_KIND, // in the journal: there is nothing any more
    TAG_CHAIN_KIND,   // instead of TAG_KIND, of a Secret
    TAG_CHAIN,        // the hash of its certificate chain in service
    TAG_BUILD,        // of the refusal: of the Envoy
};

static void entry_free(struct sld_obj *o)
{
    struct state_entry *e = (struct state_entry *)o;
    for (size_t i = 0; i < e->count; i++)
        SLD_UNREF(e->forms[i].raw);
    sld_xfree(e);
}

// Copies S to *AT and moves *AT behind it; an absent S stays absent.
static struct sld_str put(char **at, struct sld_str s)
{
    if (!s.p)
        return s;
    struct sld_str out = sld_str_n(*at, s.n);
    memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

struct state_entry *state_entry_create(struct sld_ident id, struct sld_str source,
                                       const struct state_form *forms, size_t n,
                                       struct state_refusal refusal)
{
    SLD_PRE(n > 0 || refusal.words.p);
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    struct sld_str words = sld_str_utf8_cut(refusal.words, SLD_STATE_MAX_WORDS);
    struct sld_str build = sld_str_utf8_cut(refusal.build, SLD_STATE_MAX_BUILD);
    size_t refused = words.p ? sizeof(refusal) + words.n + build.n : 0;
    // Most sources begin the origins of their documents with their own name: told once then.
    struct sld_str origin = n ? sld_raw_origin(forms[0].raw) : SLD_STR_NONE;
    bool named = origin.p && sld_str_starts(origin, source);
    struct state_entry *e = sld_xcalloc(1, sizeof(*e) + n * sizeof(*forms) + refused + key.n +
                                               (named ? 0 : source.n));
    sld_obj_init(&e->obj, entry_free, n ? forms[0].raw->obj.hash : (struct sld_hash){0});
    e->count = n;
    for (size_t i = 0; i < n; i++) {
        e->forms[i] = forms[i];
        sld_obj_ref(forms[i].raw);
    }
    char *at = (char *)&e->forms[n];
    if (words.p) {
        struct state_refusal *r = (struct state_refusal *)(void *)at;
        at += sizeof(*r);
        *r = (struct state_refusal){refusal.hash, put(&at, words), put(&at, build)};
        e->refusal = r;
    }
    e->key = put(&at, key);
    e->source = named ? sld_str_n(origin.p, source.n) : put(&at, source);
    sld_arena_fini(&a);
    return e;
}

struct state_entry *state_entry_create_chain(struct sld_ident id, struct sld_hash chain)
{
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    struct state_entry *e = sld_xcalloc(1, sizeof(*e) + key.n);
    char *at = (char *)&e->forms[0];
    sld_obj_init(&e->obj, entry_free, chain);
    e->key = put(&at, key);
    e->source = sld_str_n(at, 0);
    sld_arena_fini(&a);
    return e;
}

bool state_entry_has_chain(const struct state_entry *e)
{
    return !e->count && !e->refusal;
}

struct sld_ident state_entry_id(const struct state_entry *e)
{
    return sld_ident_of_key(e->key);
}

// ---- Writing ----

struct writer {
    int fd; // below 0: everything stays in BUF
    struct sld_buf buf;
    struct sld_hash hash; // of the chunks flushed
    uint64_t bytes;
    int errnum; // of the first failure
};

// The hash of a file is the hashes of its chunks, mixed in order.
static void hash_chunk(struct sld_hash *h, struct sld_str chunk)
{
    *h = sld_hash_mix(*h, sld_hash_bytes(chunk));
}

static void write_all(struct writer *w, struct sld_str s)
{
    while (s.n > 0 && !w->errnum) {
        ssize_t n = write(w->fd, s.p, s.n);
        if (n >= 0)
            s = sld_str_sub(s, (size_t)n, s.n);
        else if (errno != EINTR)
            w->errnum = errno;
    }
}

static void writer_flush(struct writer *w)
{
    if (w->buf.n == 0)
        return;
    hash_chunk(&w->hash, sld_buf_str(&w->buf));
    write_all(w, sld_buf_str(&w->buf));
    sld_buf_reset(&w->buf);
}

static void writer_add(struct writer *w, struct sld_str s)
{
    w->bytes += s.n;
    if (w->fd < 0) {
        sld_buf_add(&w->buf, s);
        return;
    }
    while (s.n > 0 && !w->errnum) {
        size_t room = CHUNK - w->buf.n, n = s.n < room ? s.n : room;
        sld_buf_add(&w->buf, sld_str_n(s.p, n));
        s = sld_str_sub(s, n, s.n);
        if (w->buf.n == CHUNK)
            writer_flush(w);
    }
}

static void put_u32(char out[4], size_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (char)(unsigned char)(v >> (8 * i));
}

static void put_u64(char out[8], uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(unsigned char)(v >> (8 * i));
}

static void writer_field(struct writer *w, enum tag tag, struct sld_str s)
{
    char head[FIELD_HEAD] = {(char)tag};
    put_u32(head + 1, s.n);
    writer_add(w, sld_str_n(head, sizeof(head)));
    writer_add(w, s);
}

// V in decimal digits, at the end of TEXT: three numbers stand in each form.
static struct sld_str number(char text[32], int64_t v)
{
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    size_t at = 32;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (v < 0)
        text[--at] = '-';
    return sld_str_n(text + at, 32 - at);
}

static void writer_number(struct writer *w, enum tag tag, int64_t v)
{
    char text[32];
    writer_field(w, tag, number(text, v));
}

static size_t number_bytes(int64_t v)
{
    char text[32];
    return FIELD_HEAD + number(text, v).n;
}

static size_t form_bytes(const struct state_form *f)
{
    const struct sld_raw *r = f->raw;
    return number_bytes(f->wall_ms) + number_bytes(r->line) + number_bytes(r->item) +
           4 * FIELD_HEAD + sld_raw_origin(r).n + sld_raw_path(r).n + sld_raw_default_ns(r).n + r->text.n;
}

static void put_hash(char out[HASH_BYTES], struct sld_hash h)
{
    put_u64(out, h.lo);
    put_u64(out + 8, h.hi);
}

static void writer_refusal(struct writer *w, const struct state_refusal *r)
{
    char field[HASH_BYTES + SLD_STATE_MAX_WORDS];
    put_hash(field, r->hash);
    memcpy(field + HASH_BYTES, r->words.p, r->words.n);
    writer_field(w, TAG_REFUSAL, sld_str_n(field, HASH_BYTES + r->words.n));
    if (r->build.n)
        writer_field(w, TAG_BUILD, r->build);
}

// A reader that does not know this kind of record passes over it, for it has a form.
static void writer_chain(struct writer *w, const struct state_entry *e)
{
    struct sld_ident id = state_entry_id(e);
    struct sld_str kind = sld_str_c(sld_kind_info(id.kind)->plural);
    char head[RECORD_HEAD], hash[HASH_BYTES];
    put_u32(head, 4 * FIELD_HEAD + kind.n + id.ns.n + id.name.n + HASH_BYTES + number_bytes(0));
    put_hash(hash, e->obj.hash);
    writer_add(w, sld_str_n(head, sizeof(head)));
    writer_field(w, TAG_CHAIN_KIND, kind);
    writer_field(w, TAG_NS, id.ns);
    writer_field(w, TAG_NAME, id.name);
    writer_field(w, TAG_CHAIN, sld_str_n(hash, sizeof(hash)));
    writer_number(w, TAG_FORM, 0);
}

static void writer_entry(struct writer *w, const struct state_entry *e, size_t forms)
{
    if (state_entry_has_chain(e)) {
        writer_chain(w, e);
        return;
    }
    struct sld_ident id = state_entry_id(e);
    struct sld_str kind = sld_str_c(sld_kind_info(id.kind)->plural);
    size_t n = 4 * FIELD_HEAD + e->source.n + kind.n + id.ns.n + id.name.n;
    if (e->refusal)
        n += FIELD_HEAD + HASH_BYTES + e->refusal->words.n;
    if (e->refusal && e->refusal->build.n)
        n += FIELD_HEAD + e->refusal->build.n;
    for (size_t i = 0; i < forms; i++)
        n += form_bytes(&e->forms[i]);
    if (!forms)
        n += number_bytes(0);
    char head[RECORD_HEAD];
    put_u32(head, n);
    writer_add(w, sld_str_n(head, sizeof(head)));
    writer_field(w, TAG_SOURCE, e->source);
    writer_field(w, forms ? TAG_KIND : TAG_REFUSED_KIND, kind);
    writer_field(w, TAG_NS, id.ns);
    writer_field(w, TAG_NAME, id.name);
    if (e->refusal)
        writer_refusal(w, e->refusal);
    // A reader that does not know refusals wants a form in every record, and passes over those of
    // kinds it does not know.
    if (!forms)
        writer_number(w, TAG_FORM, 0);
    for (size_t i = 0; i < forms; i++) {
        const struct sld_raw *r = e->forms[i].raw;
        writer_number(w, TAG_FORM, e->forms[i].wall_ms);
        writer_field(w, TAG_ORIGIN, sld_raw_origin(r));
        writer_field(w, TAG_PATH, sld_raw_path(r));
        writer_field(w, TAG_DEFAULT_NS, sld_raw_default_ns(r));
        writer_number(w, TAG_LINE, r->line);
        writer_number(w, TAG_ITEM, r->item);
        writer_field(w, TAG_TEXT, r->text);
    }
}

static void writer_all(struct writer *w, struct state_entry *const *entries, size_t n)
{
    char head[HEADER_MAX];
    int len =
        snprintf(head, sizeof(head), MAGIC " %d %d\n", SLD_STATE_VERSION, SLD_STATE_MIN_READER);
    writer_add(w, sld_str_n(head, (size_t)len));
    uint64_t history = 0;
    for (size_t i = 0; i < n && !w->errnum; i++) {
        size_t forms = entries[i]->count ? 1 : 0;
        for (; forms < entries[i]->count; forms++) {
            history += form_bytes(&entries[i]->forms[forms]);
            if (history > SLD_STATE_MAX_HISTORY_BYTES)
                break;
        }
        writer_entry(w, entries[i], forms);
        if (w->bytes > SLD_STATE_MAX_BYTES)
            w->errnum = EFBIG;
    }
    writer_flush(w);
    char tail[HASH_BYTES];
    put_u64(tail, w->hash.lo);
    put_u64(tail + 8, w->hash.hi);
    write_all(w, sld_str_n(tail, sizeof(tail)));
}

enum sld_rc state_file_write(int dir_fd, struct state_entry *const *entries, size_t n,
                             struct sld_hash *hash, struct sld_err *err)
{
    struct writer w = {
        .fd = openat(dir_fd, "accepted.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (w.fd < 0)
        return sld_err_errno(err, errno, "the accepted state cannot be written");
    sld_buf_init(&w.buf, CHUNK);
    writer_all(&w, entries, n);
    sld_buf_fini(&w.buf);
    if (!w.errnum && fsync(w.fd) != 0)
        w.errnum = errno;
    if (close(w.fd) != 0 && !w.errnum)
        w.errnum = errno;
    if (!w.errnum) {
        unlinkat(dir_fd, "accepted.previous", 0);
        // Without a previous file there is only less to fall back on.
        if (linkat(dir_fd, "accepted", dir_fd, "accepted.previous", 0) != 0)
            errno = 0;
        if (renameat(dir_fd, "accepted.new", dir_fd, "accepted") != 0)
            w.errnum = errno;
        else if (fsync(dir_fd) != 0)
            w.errnum = errno;
    }
    *hash = w.hash;
    if (!w.errnum)
        return SLD_OK;
    unlinkat(dir_fd, "accepted.new", 0); // it may be what fills the disk
    return sld_err_errno(err, w.errnum, "the accepted state cannot be written");
}

// ---- Reading ----

static size_t get_u32(const char *p)
{
    size_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= (size_t)(unsigned char)p[i] << (8 * i);
    return v;
}

static uint64_t get_u64(const char *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

// Takes N bytes off *S; false when there are not that many.
static bool take(struct sld_str *s, size_t n, struct sld_str *out)
{
    if (s->n < n)
        return false;
    *out = sld_str_n(s->p, n);
    *s = sld_str_n(s->p + n, s->n - n);
    return true;
}

static bool take_field(struct sld_str *s, unsigned *tag, struct sld_str *out)
{
    struct sld_str head;
    if (!take(s, FIELD_HEAD, &head))
        return false;
    *tag = (unsigned char)head.p[0];
    return take(s, get_u32(head.p + 1), out);
}

// A form while its fields are read.
struct draft {
    struct sld_doc_place place;
    struct sld_str origin, text;
    int64_t wall_ms, line, item;
};

struct record {
    struct sld_str source, ns, name;
    const struct sld_kind_info *kind;
    struct state_refusal refusal;
    struct sld_hash chain;
    bool never_good, forgotten, chain_kind;
    struct draft *drafts;
    size_t count;
};

static bool draft_field(struct draft *d, unsigned tag, struct sld_str v)
{
    switch (tag) {
    case TAG_ORIGIN:
        d->origin = v;
        return true;
    case TAG_PATH:
        d->place.path = v;
        return true;
    case TAG_DEFAULT_NS:
        d->place.default_ns = v;
        return true;
    case TAG_LINE:
        return sld_str_i64(v, &d->line) && d->line >= 0 && d->line <= INT32_MAX;
    case TAG_ITEM:
        return sld_str_i64(v, &d->item);
    case TAG_TEXT:
        d->text = v;
        return true;
    default:
        return true; // a newer Solder's
    }
}

static bool refusal_read(struct sld_str v, struct state_refusal *out)
{
    if (v.n < HASH_BYTES)
        return false;
    out->hash = (struct sld_hash){get_u64(v.p), get_u64(v.p + 8)};
    out->words = sld_str_sub(v, HASH_BYTES, v.n);
    return true;
}

static struct sld_ident record_ident(const struct record *r)
{
    return (struct sld_ident){.kind = r->kind->kind, .ns = r->ns, .name = r->name};
}

// Whether an object can have the name of R, as state_entry_id will read it.
static bool name_possible(struct sld_arena *a, const struct record *r)
{
    struct sld_ident id;
    return sld_ident_parse(sld_ident_key(a, record_ident(r)), &id);
}

static bool record_read(struct sld_arena *a, struct sld_str s, struct record *r)
{
    unsigned tag;
    struct sld_str v;
    while (s.n > 0) {
        if (!take_field(&s, &tag, &v))
            return false;
        if (tag == TAG_SOURCE) {
            r->source = v;
        } else if (tag == TAG_CHAIN) {
            if (v.n != HASH_BYTES)
                return false;
            r->chain = (struct sld_hash){get_u64(v.p), get_u64(v.p + 8)};
        } else if (tag == TAG_KIND || tag == TAG_REFUSED_KIND || tag == TAG_FORGOTTEN_KIND ||
                   tag == TAG_CHAIN_KIND) {
            r->kind = sld_kind_by_plural(v);
            r->chain_kind = tag == TAG_CHAIN_KIND;
            r->never_good = tag == TAG_REFUSED_KIND;
            r->forgotten = tag == TAG_FORGOTTEN_KIND;
        } else if (tag == TAG_REFUSAL) {
            if (!refusal_read(v, &r->refusal))
                return false;
        } else if (tag == TAG_BUILD) {
            r->refusal.build = v;
        } else if (tag == TAG_NS) {
            r->ns = v;
        } else if (tag == TAG_NAME) {
            r->name = v;
        } else if (tag == TAG_FORM) {
            struct draft d = {.item = -1};
            if (!sld_str_i64(v, &d.wall_ms))
                return false;
            SLD_PUSH(a, r->drafts, r->count, d);
        } else if (r->count && !draft_field(&r->drafts[r->count - 1], tag, v)) {
            return false;
        }
    }
    if (r->kind && !name_possible(a, r))
        return false;
    if (r->never_good || r->forgotten || r->chain_kind)
        r->count = 0; // what is there is for other readers
    if (r->forgotten)
        return true;
    if (r->chain_kind)
        return !sld_hash_zero(r->chain);
    return r->never_good ? r->refusal.words.p != NULL : r->count > 0;
}

static struct sld_raw *draft_raw(const struct record *r, const struct draft *d)
{
    return sld_raw_create(record_ident(r), d->text, (int)d->line, (long)d->item, d->origin,
                          &d->place);
}

static struct state_entry *record_entry(struct sld_arena *a, const struct record *r)
{
    struct state_form *forms = SLD_ARENA_ARRAY(a, struct state_form, r->count);
    struct sld_ident id = record_ident(r);
    if (r->chain_kind)
        return state_entry_create_chain(id, r->chain);
    for (size_t i = 0; i < r->count; i++)
        forms[i] = (struct state_form){draft_raw(r, &r->drafts[i]), r->drafts[i].wall_ms};
    struct state_entry *e = state_entry_create(id, r->source, forms, r->count, r->refusal);
    for (size_t i = 0; i < r->count; i++)
        SLD_UNREF(forms[i].raw);
    return e;
}

static enum sld_rc torn(struct sld_err *err, const char *why)
{
    return sld_err_set(err, SLD_INVALID, "the accepted state on disk is damaged (%s)", why);
}

// Checks header and hash of *S and leaves the records.
static enum sld_rc envelope(struct sld_str *s, struct sld_hash *hash, struct sld_err *err)
{
    struct sld_str all = *s, head, word, body;
    uint64_t version = 0, reader = 0;
    if (!sld_str_starts(*s, SLD_STR(MAGIC " ")) || !sld_str_cut(s, '\n', &head) || !s->p)
        return torn(err, "no header");
    head = sld_str_sub(head, strlen(MAGIC " "), head.n);
    if (!sld_str_cut(&head, ' ', &word) || !sld_str_u64(word, &version) ||
        !sld_str_u64(head, &reader))
        return torn(err, "the header cannot be read");
    if (s->n < HASH_BYTES)
        return torn(err, "it is cut");
    body = sld_str_n(all.p, all.n - HASH_BYTES);
    struct sld_hash h = {0};
    for (size_t at = 0; at < body.n; at += CHUNK)
        hash_chunk(&h, sld_str_sub(body, at, CHUNK));
    const char *tail = all.p + body.n;
    if (h.lo != get_u64(tail) || h.hi != get_u64(tail + 8))
        return torn(err, "its checksum is wrong");
    if (reader > SLD_STATE_VERSION)
        return sld_err_set(err, SLD_LIMIT,
                           "the accepted state on disk is of a newer Solder (format %llu)",
                           (unsigned long long)version);
    s->n -= HASH_BYTES;
    *hash = h;
    return SLD_OK;
}

static enum sld_rc load(int fd, const char *name, size_t max, char **out, size_t *n,
                        struct sld_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return sld_err_errno(err, errno, "file %s of the state directory cannot be read", name);
    if ((uint64_t)st.st_size > max)
        return sld_err_set(err, SLD_INVALID, "file %s of the state directory is too large", name);
    *n = (size_t)st.st_size;
    *out = sld_xalloc(*n);
    size_t at = 0;
    while (at < *n) {
        ssize_t got = read(fd, *out + at, *n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sld_err_errno(err, errno, "file %s of the state directory cannot be read", name);
        if (got == 0)
            return sld_err_set(err, SLD_INVALID, "file %s of the state directory is cut", name);
        at += (size_t)got;
    }
    return SLD_OK;
}

enum sld_rc state_load(int dir_fd, const char *name, size_t max, char **out, size_t *n,
                       struct sld_err *err)
{
    *out = NULL;
    *n = 0;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT
                   ? sld_err_set(err, SLD_NOT_FOUND, "there is no file %s", name)
                   : sld_err_errno(err, errno, "file %s of the state directory cannot be read", name);
    enum sld_rc rc = load(fd, name, max, out, n, err);
    close(fd);
    if (rc) {
        sld_xfree(*out);
        *out = NULL;
    }
    return rc;
}

static enum sld_rc records_read(struct sld_str s, void (*add)(struct state_entry *e, void *arg),
                                void *arg, struct sld_err *err)
{
    while (s.n > 0) {
        struct sld_str head, body;
        if (!take(&s, RECORD_HEAD, &head) || !take(&s, get_u32(head.p), &body))
            return torn(err, "a record is cut");
        struct sld_arena a = {0};
        struct record r = {0};
        bool good = record_read(&a, body, &r) && !r.forgotten;
        if (good && r.kind) // an object of a kind we do not know is a newer Solder's
            add(record_entry(&a, &r), arg);
        sld_arena_fini(&a);
        if (!good)
            return torn(err, "a record cannot be read");
    }
    return SLD_OK;
}

enum sld_rc state_file_read(int dir_fd, const char *name,
                            void (*add)(struct state_entry *e, void *arg), void *arg,
                            struct sld_hash *hash, struct sld_err *err)
{
    char *bytes;
    size_t n;
    enum sld_rc rc = state_load(dir_fd, name, 2 * SLD_STATE_MAX_BYTES, &bytes, &n, err);
    struct sld_str s = sld_str_n(bytes, n);
    if (rc == SLD_OK)
        rc = envelope(&s, hash, err);
    if (rc == SLD_OK)
        rc = records_read(s, add, arg, err);
    sld_xfree(bytes);
    return rc;
}

// ---- Records of the journal ----

void state_record_add(struct sld_buf *out, const struct state_change *c)
{
    struct writer w = {.fd = -1, .buf = *out};
    bool chain = !sld_hash_zero(c->chain);
    if (c->raw || c->refusal.words.p || chain) {
        struct state_form form = {c->raw, c->wall_ms};
        struct state_entry *e =
            chain ? state_entry_create_chain(c->id, c->chain)
                  : state_entry_create(c->id, c->source, &form, c->raw ? 1 : 0, c->refusal);
        writer_entry(&w, e, e->count);
        SLD_UNREF(e);
    } else {
        struct sld_str kind = sld_str_c(sld_kind_info(c->id.kind)->plural);
        char head[RECORD_HEAD];
        put_u32(head, 3 * FIELD_HEAD + kind.n + c->id.ns.n + c->id.name.n);
        writer_add(&w, sld_str_n(head, sizeof(head)));
        writer_field(&w, TAG_FORGOTTEN_KIND, kind);
        writer_field(&w, TAG_NS, c->id.ns);
        writer_field(&w, TAG_NAME, c->id.name);
    }
    *out = w.buf;
}

static void record_tell(const struct record *r,
                        void (*add)(const struct state_change *c, void *arg), void *arg)
{
    struct state_change c = {.id = record_ident(r), .source = r->source};
    if (r->count) {
        c.raw = draft_raw(r, &r->drafts[0]);
        c.wall_ms = r->drafts[0].wall_ms;
    } else if (!r->forgotten) {
        c.refusal = r->refusal;
        c.chain = r->chain;
    }
    add(&c, arg);
    SLD_UNREF(c.raw);
}

bool state_records_each(struct sld_str s, void (*add)(const struct state_change *c, void *arg),
                        void *arg)
{
    while (s.n > 0) {
        struct sld_str head, body;
        if (!take(&s, RECORD_HEAD, &head) || !take(&s, get_u32(head.p), &body))
            return false;
        struct sld_arena a = {0};
        struct record r = {0};
        bool good = record_read(&a, body, &r);
        if (good && r.kind)
            record_tell(&r, add, arg);
        sld_arena_fini(&a);
        if (!good)
            return false;
    }
    return true;
}
