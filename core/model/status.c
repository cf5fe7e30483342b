// Statuses: findings joined, and Gloo's text for them.
#include "model/model.h"

#include <pthread.h>

// Room kept in a reason for the line that counts what was left out.
enum { REST_BYTES = 40 };

static void status_free(struct sld_obj *o)
{
    struct sld_status *s = (struct sld_status *)o;
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

const char *sld_status_state_name(enum sld_status_state s)
{
    static const char *const names[] = {"Pending", "Accepted", "Rejected", "Warning"};
    SLD_PRE((unsigned)s < SLD_ARRAY_LEN(names));
    return names[s];
}

// ---- Findings ----

// The same problem told by two tables.
static bool same(const struct sld_finding *a, const struct sld_finding *b)
{
    return a->code == b->code && a->severity == b->severity && sld_str_eq(a->path, b->path) &&
           sld_str_eq(a->message, b->message) && sld_str_eq(a->origin, b->origin) &&
           a->line == b->line && a->column == b->column;
}

static uint64_t finding_key(const struct sld_finding *f)
{
    return sld_hash64(f->message) ^ (sld_hash64(f->path) * 31) ^ (uint64_t)f->code << 1;
}

static bool seen_before(const struct sld_finding *f, size_t n, struct sld_umap *seen)
{
    // Findings of one key are few; the map leads to the last of them.
    const struct sld_finding *last = sld_umap_get(seen, finding_key(&f[n]));
    if (last && same(last, &f[n]))
        return true;
    sld_umap_set(seen, finding_key(&f[n]), (void *)(uintptr_t)&f[n]);
    return false;
}

static struct sld_finding copied(struct sld_arena *a, const struct sld_finding *f)
{
    struct sld_finding c = *f;
    c.path = sld_arena_str(a, f->path);
    c.message = sld_arena_str(a, f->message);
    c.origin = sld_arena_str(a, f->origin);
    return c;
}

// Takes over the findings of SEVERITY and returns how many there are.
static size_t take(struct sld_status *s, const struct sld_finding *f, size_t n,
                   enum sld_severity severity)
{
    struct sld_umap seen = {0};
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (f[i].severity != severity || seen_before(f, i, &seen))
            continue;
        total++;
        if (s->count < SLD_REPORT_MAX)
            SLD_PUSH(&s->arena, s->findings, s->count, copied(&s->arena, &f[i]));
    }
    sld_umap_fini(&seen);
    return total;
}

// ---- The reason ----

// One finding in words: "virtualHost.domains[0]: "a b" is no domain".
static struct sld_str words(struct sld_arena *a, const struct sld_finding *f)
{
    if (f->path.n == 0)
        return f->message;
    return SLD_ARENA_JOIN(a, f->path, SLD_STR(": "), f->message);
}

// Appends the words of the TOTAL findings of SEVERITY, each behind LEAD or, the later ones,
// BETWEEN, as long as there is room for them and for the number of those left out.
static void add_words(struct sld_buf *b, const struct sld_status *s, enum sld_severity severity,
                      size_t total, const char *lead, const char *between)
{
    struct sld_arena a = {0};
    size_t told = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->findings[i].severity != severity)
            continue;
        const char *before = told ? between : lead;
        struct sld_str w = words(&a, &s->findings[i]);
        size_t used = b->n + strlen(before) + REST_BYTES;
        size_t room = b->max > used ? b->max - used : 0;
        if (w.n > room && told)
            break;
        sld_buf_addz(b, before);
        sld_buf_add(b, sld_str_utf8_cut(w, room));
        told++;
    }
    if (told < total)
        sld_buf_addf(b, "%sand %zu more", told ? between : lead, total - told);
    sld_arena_fini(&a);
}

static void reason_make(struct sld_status *s)
{
    struct sld_buf b;
    sld_buf_init(&b, SLD_REASON_MAX);
    if (s->errors) {
        sld_buf_addf(&b, "%zu error%s occurred:", s->errors, s->errors == 1 ? "" : "s");
        add_words(&b, s, SLD_ERROR, s->errors, "\n\t* ", "\n\t* ");
        sld_buf_addz(&b, "\n\n");
    }
    if (s->warnings) {
        sld_buf_addz(&b, s->errors ? "\n" : "");
        add_words(&b, s, SLD_WARNING, s->warnings, "warning: \n  ", "\n");
    }
    s->reason = sld_arena_str(&s->arena, sld_str_n(b.p ? b.p : "", b.n));
    sld_buf_fini(&b);
}

// ---- The status ----

static struct sld_hash status_hash(const struct sld_status *s)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, (uint64_t)s->state << 2 | (uint64_t)s->last_good << 1 | s->served);
    sld_hasher_add_u64(&h, s->errors);
    sld_hasher_add_u64(&h, s->warnings);
    for (size_t i = 0; i < s->count; i++) {
        const struct sld_finding *f = &s->findings[i];
        const struct sld_str parts[] = {f->path, f->message, f->origin};
        sld_hasher_add_u64(&h, (uint64_t)f->code << 8 | (uint64_t)f->severity);
        sld_hasher_add_u64(&h, (uint64_t)f->line << 32 | (uint32_t)f->column);
        for (size_t k = 0; k < SLD_ARRAY_LEN(parts); k++) {
            sld_hasher_add_u64(&h, parts[k].n);
            sld_hasher_add(&h, parts[k]);
        }
    }
    return sld_hasher_done(&h);
}

// Most objects have nothing that could be said of them: they share these, by last_good and served.
static struct sld_status plain[4];

static void plain_free(struct sld_obj *o)
{
    (void)o; // there always is one more reference
}

static void plain_init(void)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(plain); i++) {
        struct sld_status *s = &plain[i];
        s->last_good = i & 2;
        s->served = i & 1;
        s->state = SLD_ACCEPTED;
        s->reason = SLD_STR("");
        sld_obj_init(&s->obj, plain_free, status_hash(s));
    }
}

struct sld_status *sld_status_create(const struct sld_finding *f, size_t n, bool last_good,
                                     bool served)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n == 0) {
        pthread_once(&once, plain_init);
        return sld_obj_ref(&plain[(last_good ? 2 : 0) + (served ? 1 : 0)]);
    }
    struct sld_status *s = SLD_NEW(struct sld_status);
    s->last_good = last_good;
    s->served = served;
    s->errors = take(s, f, n, SLD_ERROR);
    s->warnings = take(s, f, n, SLD_WARNING);
    take(s, f, n, SLD_NOTE);
    s->state = s->errors ? SLD_REJECTED : s->warnings ? SLD_STATUS_WARNING : SLD_ACCEPTED;
    reason_make(s);
    sld_obj_init(&s->obj, status_free, status_hash(s));
    return s;
}
