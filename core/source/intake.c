// The intake: turns units of text into objects and keeps what was good. Additions and changes count
// at once; what vanishes waits until its source was quiet, and most of a source vanishing waits for
// a second look.
#include "source/intake.h"

// A source that never is quiet shall not keep what it deleted for ever.
enum { PATIENCE = 20, MASS_MIN = 3 };

// How the bytes of a unit relate to what it said.
enum cut {
    WHOLE,
    SHORTER, // the beginning of it, up to the end of a line: counts when settled
    CUT,     // nothing, or the beginning of it up to the midst of a line: never counts
};

static void unit_keep(struct unit *u, struct reading *r);
static void unit_apply(struct unit *u, struct reading *r, uint64_t now);
static void unit_regain(struct unit *u);
static void unit_free(struct unit *u);
static enum cut reading_cut(struct unit *u, const struct reading *r);
static void unit_read(struct unit *u, struct sld_blob *bytes, struct sld_ahead_text *text, bool anew, uint64_t now);
static uint64_t origin_tick(struct origin *s, uint64_t now);
static uint64_t closing_tick(struct origin *s, uint64_t now);

void sld_intake_options_default(struct sld_intake_options *o)
{
    *o = (struct sld_intake_options){
        .default_ns = SLD_STR("gloo-system"),
        .quiet_ns = UINT64_C(250000000),
        .mass_percent = 50,
        .mass_wait_ns = UINT64_C(5000000000),
    };
}

static struct sld_str unit_key(const void *item)
{
    return sld_str_c(((const struct unit *)item)->path);
}

static struct sld_str object_key(const void *item)
{
    return sld_str_c(((const struct object *)item)->key);
}

static void default_ns_set(struct sld_intake *in, struct sld_str ns)
{
    sld_xfree(in->default_ns);
    in->default_ns = sld_xcalloc(1, ns.n + 1);
    if (ns.n)
        memcpy(in->default_ns, ns.p, ns.n);
    in->opt.default_ns = sld_str_c(in->default_ns);
}

struct sld_intake *sld_intake_create(const struct sld_intake_options *o,
                                     const struct sld_intake_events *ev)
{
    struct sld_intake *in = SLD_NEW(struct sld_intake);
    in->opt = *o;
    in->ev = *ev;
    default_ns_set(in, o->default_ns);
    in->settings_ns = sld_xcalloc(1, o->default_ns.n + 1);
    memcpy(in->settings_ns, in->default_ns, o->default_ns.n);
    in->objects.key = object_key;
    sld_list_init(&in->remarked);
    return in;
}

static void origin_free(struct origin *s)
{
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&s->units, &at));) {
        SLD_LIST_EACH (c, &u->claims)
            claim_free(SLD_CONTAINER_OF(c, struct claim, in_unit));
        unit_unremark(u);
        SLD_UNREF(u->bytes);
        sld_xfree(u);
    }
    sld_set_fini(&s->units);
    remarks_clear(&s->trouble);
    sld_xfree(s);
}

void sld_intake_destroy(struct sld_intake *in)
{
    if (!in)
        return;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));)
        origin_free(s->value);
    sld_map_fini(&in->origins);
    at = 0;
    for (struct object *o; (o = sld_set_next(&in->objects, &at));) {
        SLD_UNREF(o->in_force);
        sld_xfree(o);
    }
    sld_set_fini(&in->objects);
    sld_umap_fini(&in->contested);
    sld_umap_fini(&in->unwatched);
    sld_map_fini(&in->watched);
    problems_fini(in);
    sld_xfree(in->default_ns);
    sld_xfree(in->settings_ns);
    sld_xfree(in);
}

// Whether objects are in force that a source which is not read any more said.
static bool anything_leaves(const struct sld_intake *in)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        if (o->closing && !o->arriving && o->claim_count)
            return true;
    }
    return false;
}

// A source comes back before its objects went.
static void origin_revive(struct origin *s, unsigned order)
{
    SLD_PRE(s->closing);
    s->closing = false;
    s->arriving = anything_leaves(s->in);
    problems_changed(s->in);
    s->only = SLD_KIND_COUNT;
    s->silent = false;
    s->order = order;
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&s->units, &at));) {
        SLD_LIST_EACH (it, &u->claims)
            claim_move(SLD_CONTAINER_OF(it, struct claim, in_unit));
    }
}

void sld_intake_source(struct sld_intake *in, struct sld_str source, unsigned order)
{
    struct origin *s = sld_map_get(&in->origins, source);
    if (s) {
        origin_revive(s, order);
        return;
    }
    s = sld_xcalloc(1, sizeof(*s) + source.n + 1);
    s->in = in;
    s->arriving = anything_leaves(in);
    s->order = order;
    s->only = SLD_KIND_COUNT;
    s->units.key = unit_key;
    if (source.n)
        memcpy(s->name, source.p, source.n);
    sld_list_init(&s->lost);
    sld_map_set(&in->origins, source, s);
    problems_changed(in);
}

void sld_intake_source_only(struct sld_intake *in, struct sld_str source, enum sld_kind kind)
{
    struct origin *s = sld_map_get(&in->origins, source);
    SLD_PRE(s);
    s->only = kind;
    // Who asked for a secret is told that it was answered, so it has to count by then.
    s->arriving = s->arriving && kind != SLD_KIND_SECRET;
}

void sld_intake_source_silent(struct sld_intake *in, struct sld_str source)
{
    struct origin *s = sld_map_get(&in->origins, source);
    SLD_PRE(s);
    s->silent = true;
}

void sld_intake_source_keyed(struct sld_intake *in, struct sld_str source)
{
    struct origin *s = sld_map_get(&in->origins, source);
    SLD_PRE(s);
    s->keyed = true;
}

// ---- Units ----

static struct origin *origin_get(struct sld_intake *in, struct sld_str source)
{
    struct origin *s = sld_map_get(&in->origins, source);
    SLD_PRE(s != NULL);
    return s;
}

static struct unit *unit_get(struct origin *s, struct sld_str path)
{
    struct unit *u = sld_set_get(&s->units, path);
    if (u)
        return u;
    u = sld_xcalloc(1, sizeof(*u) + path.n + 1);
    if (path.n)
        memcpy(u->path, path.p, path.n);
    u->origin = s;
    sld_list_init(&u->claims);
    sld_set_add(&s->units, u);
    return u;
}

static void unit_free(struct unit *u)
{
    SLD_PRE(sld_list_empty(&u->claims));
    unit_unremark(u);
    SLD_UNREF(u->bytes);
    sld_set_remove(&u->origin->units, u);
    sld_xfree(u);
}

void sld_intake_put(struct sld_intake *in, struct sld_str source, struct sld_str path,
                    struct sld_blob *bytes, bool settled, uint64_t now)
{
    sld_intake_put_ahead(in, source, path, bytes, NULL, settled, now);
}

void sld_intake_put_ahead(struct sld_intake *in, struct sld_str source, struct sld_str path, struct sld_blob *bytes,
                          struct sld_ahead_text *text, bool settled, uint64_t now)
{
    struct origin *s = origin_get(in, source);
    struct unit *u = unit_get(s, path);
    bool same = !u->gone && sld_hash_eq(u->hash, bytes->obj.hash);
    u->seen = true;
    u->gone = false;
    if (same && (u->settled || !settled))
        return;
    u->settled = settled;
    if (same && !u->pending)
        return;
    if (!same)
        s->changed_ns = now;
    unit_read(u, bytes, text, sld_hash_zero(u->hash), now);
}

// ANEW: the same bytes may say something else now.
static void unit_read(struct unit *u, struct sld_blob *bytes, struct sld_ahead_text *text, bool anew, uint64_t now)
{
    u->hash = bytes->obj.hash;
    struct reading r;
    reading_init(&r, u, bytes->data, text, anew);
    enum cut cut = r.failed ? WHOLE : reading_cut(u, &r);
    if (cut == CUT)
        remarks_add(&r.remarks, SLD_ERROR, SLD_YAML_SYNTAX, 0, 0,
                    u->origin->keyed
                        ? "the value was %s; what it said before stays in force (delete the key "
                          "to remove its object)"
                        : "the file was %s; what it said before stays in force (remove the "
                          "file to remove its objects)",
                    r.blank ? "emptied" : "cut");
    u->pending = !u->settled && (cut != WHOLE || r.failed);
    if (!u->pending) {
        unit_keep(u, &r);
        u->broken = cut == CUT || r.failed;
        if (u->broken) {
            unit_regain(u);
        } else {
            unit_apply(u, &r, now);
            struct sld_blob *kept = r.relative ? sld_obj_ref(bytes) : NULL;
            SLD_UNREF(u->bytes);
            u->bytes = kept;
        }
    }
    reading_fini(&r);
}

// Takes over what was remarked about the bytes.
static void unit_keep(struct unit *u, struct reading *r)
{
    if (!r->remarks.count && (!u->wrong || !u->wrong->own.count))
        return;
    struct remarked *w = unit_wrong(u);
    remarks_clear(&w->own);
    w->own = r->remarks;
    r->remarks = (struct remarks){0};
    unit_remarked(u);
}

static bool unit_says(const struct unit *u)
{
    SLD_LIST_EACH (it, &u->claims) {
        const struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_unit);
        if (!c->loss || !c->loss->firm)
            return true;
    }
    return false;
}

static enum cut reading_cut(struct unit *u, const struct reading *r)
{
    if (r->blank)
        return unit_says(u) ? CUT : WHOLE;
    if (r->count == 0 || u->origin->keyed)
        return WHOLE;
    const struct said *last = &r->items[r->count - 1];
    const struct object *o = object_find(u->origin->in, last->id);
    const struct claim *c = o ? claim_find(o, u) : NULL;
    if (!c || c->raw->text.n <= last->text.n || !sld_str_starts(c->raw->text, last->text))
        return WHOLE;
    return r->unterminated && c->raw->text.p[last->text.n] != '\n' ? CUT : SHORTER;
}

// What its last readable bytes left out before they were settled, it still says.
static void unit_regain(struct unit *u)
{
    SLD_LIST_EACH (it, &u->claims)
        claim_regain(SLD_CONTAINER_OF(it, struct claim, in_unit));
}

static bool raw_says(const struct sld_raw *raw, const struct said *s)
{
    return raw->line == s->line && raw->item == s->item && sld_str_eq(raw->text, s->text);
}

static void unit_say(struct unit *u, const struct said *s)
{
    struct sld_intake *in = u->origin->in;
    struct object *o = object_find(in, s->id);
    struct claim *c = o ? claim_find(o, u) : NULL;
    if (c && c->round == u->round) {
        remarks_add(&unit_wrong(u)->own, SLD_ERROR, SLD_DOC_DUPLICATE, s->line, 1,
                    "%s %.*s.%.*s stands in %s:%d and in %s:%d; the first is in force",
                    sld_kind_info(s->id.kind)->name, SLD_FMT(s->id.ns), SLD_FMT(s->id.name),
                    u->path, c->raw->line, u->path, s->line);
        unit_remarked(u);
        return;
    }
    struct sld_raw *raw;
    if (c && raw_says(c->raw, s)) {
        raw = sld_obj_ref(c->raw);
    } else {
        struct sld_doc_place place = {.path = sld_str_c(u->path), .default_ns = in->opt.default_ns};
        struct sld_buf origin;
        sld_buf_init(&origin, 8192);
        sld_buf_addf(&origin, "%s/%s", u->origin->name, u->path);
        raw = sld_raw_create(s->id, s->text, s->line, s->item, sld_buf_str(&origin), &place);
        sld_buf_fini(&origin);
        raw->tree = s->node; // spares whoever decodes it now a second reading
    }
    claim_say(u, s->id, raw)->round = u->round;
    raw->tree = NULL;
    SLD_UNREF(raw);
}

static void unit_apply(struct unit *u, struct reading *r, uint64_t now)
{
    u->round = ++u->origin->in->round;
    u->foreign = (uint32_t)r->foreign;
    for (size_t i = 0; i < r->count; i++)
        unit_say(u, &r->items[i]);
    // A document that lost its name may be any of those not said: they stay.
    u->partial = r->nameless > 0;
    if (u->partial)
        return;
    SLD_LIST_EACH (it, &u->claims) {
        struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_unit);
        if (c->round == u->round)
            continue;
        if (!u->settled)
            u->pending = true;
        claim_lose(c, u->settled, now);
    }
}

static void unit_lose_all(struct unit *u, uint64_t now)
{
    u->gone = true;
    u->pending = u->broken = u->partial = u->settled = false;
    u->foreign = 0;
    u->hash = (struct sld_hash){0};
    SLD_UNREF(u->bytes);
    if (u->wrong) {
        unit_unremark(u);
        unit_remarked(u);
    }
    SLD_LIST_EACH (it, &u->claims)
        claim_lose(SLD_CONTAINER_OF(it, struct claim, in_unit), true, now);
    if (sld_list_empty(&u->claims))
        unit_free(u);
}

void sld_intake_gone(struct sld_intake *in, struct sld_str source, struct sld_str path,
                     uint64_t now)
{
    struct origin *s = origin_get(in, source);
    struct unit *u = sld_set_get(&s->units, path);
    if (!u || u->gone)
        return;
    s->changed_ns = now;
    u->seen = true;
    unit_lose_all(u, now);
}

void sld_intake_source_gone(struct sld_intake *in, struct sld_str source, uint64_t now)
{
    struct origin *s = origin_get(in, source);
    remarks_clear(&s->trouble);
    s->mass = false;
    s->synced = false;
    s->closing = true;
    s->changed_ns = now;
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&s->units, &at));)
        unit_lose_all(u, now);
    problems_changed(in);
}

void sld_intake_restore(struct sld_intake *in, struct sld_str source, struct sld_raw *raw)
{
    struct origin *s = sld_map_get(&in->origins, source);
    if (!s)
        return;
    struct sld_ident id = sld_raw_ident(raw);
    struct unit *u = unit_get(s, sld_raw_path(raw));
    SLD_PRE(!u->seen);
    claim_say(u, id, raw);
}

void sld_intake_synced(struct sld_intake *in, struct sld_str source, uint64_t now)
{
    struct origin *s = origin_get(in, source);
    s->looked = true;
    if (s->synced)
        return;
    s->synced = true;
    s->changed_ns = now;
    // What was restored and the source did not speak of, it does not have any more.
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&s->units, &at));) {
        if (!u->seen)
            unit_lose_all(u, now);
    }
}

void sld_intake_problem(struct sld_intake *in, struct sld_str source, struct sld_str path,
                        enum sld_code code, struct sld_str message, uint64_t now)
{
    struct origin *s = origin_get(in, source);
    struct unit *u = path.n ? unit_get(s, path) : NULL;
    struct remarks *r = u ? &unit_wrong(u)->trouble : &s->trouble;
    if (!u && message.p && !s->trouble.count)
        s->down_ns = now;
    remarks_clear(r);
    if (message.p)
        remarks_add(r, code == SLD_EXPIRES_SOON ? SLD_WARNING : SLD_ERROR, code, 0, 0, "%.*s",
                    SLD_FMT(message));
    if (!u) {
        s->changed_ns = now; // it starts to be quiet anew
        problems_changed(in);
        return;
    }
    u->seen = true;
    unit_remarked(u);
    if (!message.p && sld_hash_zero(u->hash) && sld_list_empty(&u->claims))
        unit_free(u);
}

// ---- Disappearances ----

// Those that were read count from now on, in the same moment in which what they replace goes: a mixture of both is
// nobody's configuration.
static void arrive(struct sld_intake *in, uint64_t now)
{
    size_t at = 0, leaving = 0;
    bool quiet = true;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        if (!o->closing || o->arriving || !o->claim_count)
            continue;
        leaving++;
        quiet = quiet && o->changed_ns + in->opt.quiet_ns <= now;
    }
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        struct origin *o = s->value;
        if (!o->arriving || o->closing || (leaving && !(o->synced && quiet)))
            continue;
        o->arriving = false;
        size_t unit_at = 0;
        for (struct unit *u; (u = sld_set_next(&o->units, &unit_at));) {
            SLD_LIST_EACH (it, &u->claims)
                object_refresh(in, SLD_CONTAINER_OF(it, struct claim, in_unit)->object);
        }
    }
}

uint64_t sld_intake_tick(struct sld_intake *in, uint64_t now)
{
    arrive(in, now);
    uint64_t next = 0;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        struct origin *o = s->value;
        uint64_t due = o->closing ? closing_tick(o, now) : origin_tick(o, now);
        if (due && (!next || due < next))
            next = due;
        if (o->closing && sld_set_count(&o->units) == 0) {
            sld_map_remove(&in->origins, s->key);
            origin_free(o);
            problems_changed(in);
        }
    }
    return next;
}

bool intake_awaits(const struct sld_intake *in, enum sld_kind kind)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        if (!o->closing && !o->synced && !o->silent && (o->only == SLD_KIND_COUNT || o->only == kind))
            return true;
    }
    return false;
}

static void mass_set(struct origin *s, bool mass, uint64_t now)
{
    if (s->mass == mass)
        return;
    s->mass = mass;
    s->mass_ns = now;
    problems_changed(s->in);
    if (mass && s->in->ev.on_second_look) {
        s->looked = false;
        s->in->ev.on_second_look(s->in->ev.user, sld_str_c(s->name));
    }
}

// The lost claims that may go, and how many objects would vanish with them.
static size_t lost_count(const struct origin *s, uint64_t *oldest, size_t *vanishing)
{
    size_t n = 0;
    *vanishing = 0;
    SLD_LIST_EACH (it, &s->lost) {
        const struct loss *l = SLD_CONTAINER_OF(it, struct loss, in_lost);
        if (!l->firm)
            continue;
        if (n++ == 0)
            *oldest = l->since_ns;
        *vanishing += l->claim->object->standing == 0;
    }
    return n;
}

// Removes what is lost long enough, but for the kinds of KEPT.
static void lost_remove(struct origin *s, const bool *kept, uint64_t now)
{
    SLD_LIST_EACH (it, &s->lost) {
        struct loss *l = SLD_CONTAINER_OF(it, struct loss, in_lost);
        struct unit *u = l->claim->unit;
        if (!l->firm || l->since_ns + s->in->opt.quiet_ns > now || (kept && kept[l->claim->raw->kind]))
            continue;
        claim_remove(l->claim);
        if (u->gone && sld_list_empty(&u->claims))
            unit_free(u);
    }
}

// The same of a source that is not read any more.
static uint64_t closing_tick(struct origin *s, uint64_t now)
{
    uint64_t due = s->changed_ns + s->in->opt.quiet_ns;
    if (now < due)
        return due;
    bool awaited[SLD_KIND_COUNT], all = true;
    for (int k = 0; k < SLD_KIND_COUNT; k++) {
        awaited[k] = intake_awaits(s->in, (enum sld_kind)k);
        all = all && awaited[k];
    }
    if (!all)
        lost_remove(s, awaited, now);
    return 0; // of what stays, sld_intake_synced will come
}

// Removes what may go; the time to look again, or 0.
static uint64_t origin_tick(struct origin *s, uint64_t now)
{
    const struct sld_intake_options *opt = &s->in->opt;
    uint64_t oldest = 0;
    size_t vanishing = 0, n = lost_count(s, &oldest, &vanishing);
    if (n == 0)
        mass_set(s, false, now);
    if (n == 0 || !s->synced || s->trouble.count)
        return 0; // without a source that answers, absence is no proof
    uint64_t due = s->changed_ns + opt->quiet_ns, latest = oldest + PATIENCE * opt->quiet_ns;
    if (now < due && now < latest)
        return due < latest ? due : latest;
    bool mass = vanishing > MASS_MIN && vanishing * 100 > s->claim_count * opt->mass_percent;
    s->mass_count = vanishing;
    mass_set(s, mass, now);
    if (mass) {
        due = s->changed_ns + opt->mass_wait_ns;
        latest = s->mass_ns + PATIENCE * opt->mass_wait_ns;
        if (now < due && now < latest)
            return due < latest ? due : latest;
        if (!s->looked)
            return 0; // sld_intake_synced will come
    }
    lost_remove(s, NULL, now);
    mass_set(s, false, now);
    return lost_count(s, &oldest, &vanishing) ? oldest + opt->quiet_ns : 0;
}

static size_t count_config(const struct origin *s, bool lost)
{
    size_t n = 0, at = 0;
    for (const struct unit *u; (u = sld_set_next(&s->units, &at));) {
        SLD_LIST_EACH (it, &u->claims) {
            const struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_unit);
            enum sld_kind k = c->raw->kind;
            n += !c->loss != lost && k != SLD_KIND_SECRET && k != SLD_KIND_ARTIFACT && k != SLD_KIND_SETTINGS;
        }
    }
    return n;
}

size_t sld_intake_holds(const struct sld_intake *in, struct sld_str source)
{
    const struct origin *own = sld_map_get(&in->origins, source);
    if (!own)
        return 0;
    size_t n = count_config(own, false), before = 0, at = 0;
    for (struct sld_map_slot *s; own->arriving && (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        if (o->closing && !o->arriving)
            before += count_config(o, true);
    }
    return n > before ? n : before;
}

void sld_intake_stats(const struct sld_intake *in, struct sld_intake_stats *out)
{
    *out = (struct sld_intake_stats){.objects = sld_set_count(&in->objects)};
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        size_t unit_at = 0;
        for (const struct unit *u; (u = sld_set_next(&o->units, &unit_at));) {
            out->units += !u->gone;
            out->foreign += u->foreign;
            SLD_LIST_EACH (c, &u->claims) {
                const struct claim *claim = SLD_CONTAINER_OF(c, struct claim, in_unit);
                bool winner = object_winner(claim->object) == claim;
                out->duplicates += !claim->loss && !winner;
                out->held += winner &&
                             (claim->loss || u->broken || (u->partial && claim->round != u->round));
            }
        }
    }
}

// The first error, or NULL.
static const struct remark *first_error(const struct remarked *w)
{
    const struct remarks *lists[] = {&w->trouble, &w->own};
    for (size_t k = 0; k < SLD_ARRAY_LEN(lists); k++) {
        for (size_t i = 0; i < lists[k]->count; i++) {
            if (lists[k]->items[i].severity == SLD_ERROR)
                return &lists[k]->items[i];
        }
    }
    return NULL;
}

void sld_intake_held(const struct sld_intake *in,
                     void (*fn)(struct sld_ident id, const struct sld_problem *p, void *arg),
                     void *arg)
{
    SLD_LIST_EACH (it, &in->remarked) {
        const struct remarked *w = SLD_CONTAINER_OF(it, struct remarked, in_remarked);
        const struct unit *u = w->unit;
        const struct remark *r = first_error(w);
        if (!r)
            continue;
        struct sld_problem p = {.source = sld_str_c(u->origin->name),
                                .path = sld_str_c(u->path),
                                .severity = r->severity,
                                .code = r->code,
                                .line = r->line,
                                .column = r->column,
                                .message = sld_str_c(r->message)};
        SLD_LIST_EACH (c, &u->claims) {
            const struct claim *claim = SLD_CONTAINER_OF(c, struct claim, in_unit);
            bool stale = u->broken || w->trouble.count || claim->loss ||
                         (u->partial && claim->round != u->round);
            struct sld_ident id;
            if (stale && claim->object->in_force && object_winner(claim->object) == claim &&
                sld_ident_parse(sld_str_c(claim->object->key), &id))
                fn(id, &p, arg);
        }
    }
}

bool sld_intake_stale(const struct sld_intake *in, struct sld_str source, uint64_t *since_ns,
                      struct sld_str *why)
{
    const struct origin *s = sld_map_get(&in->origins, source);
    if (!s || !s->trouble.count)
        return false;
    *since_ns = s->down_ns;
    if (why)
        *why = sld_str_c(s->trouble.items[0].message);
    return true;
}

void sld_intake_set_adopt(struct sld_intake *in, bool adopt)
{
    if (in->adopt == adopt)
        return;
    in->adopt = adopt;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        struct origin *o = s->value;
        size_t unit_at = 0;
        for (struct unit *u; (u = sld_set_next(&o->units, &unit_at));)
            u->hash = (struct sld_hash){0}; // read anew when told again
        if (in->ev.on_second_look)
            in->ev.on_second_look(in->ev.user, sld_str_c(o->name));
    }
}

void sld_intake_set_waits(struct sld_intake *in, uint64_t quiet_ns, unsigned mass_percent)
{
    in->opt.quiet_ns = quiet_ns;
    in->opt.mass_percent = mass_percent;
}

void sld_intake_set_default_ns(struct sld_intake *in, struct sld_str ns, uint64_t now)
{
    if (sld_str_eq(ns, in->opt.default_ns))
        return;
    default_ns_set(in, ns);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));) {
        const struct origin *o = s->value;
        size_t unit_at = 0;
        for (struct unit *u; (u = sld_set_next(&o->units, &unit_at));) {
            if (u->broken || u->pending) {
                // Its bytes are older than what is told of it.
                u->hash = (struct sld_hash){0}; // read anew when told again
                continue;
            }
            struct sld_blob *bytes = sld_obj_ref(u->bytes);
            if (bytes)
                unit_read(u, bytes, NULL, true, now);
            SLD_UNREF(bytes);
        }
    }
}

void sld_intake_watch(struct sld_intake *in, const struct sld_str *namespaces, size_t n)
{
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += sld_map_has(&in->watched, namespaces[i]);
    if (same == n && sld_map_count(&in->watched) == n)
        return;
    sld_map_fini(&in->watched);
    for (size_t i = 0; i < n; i++)
        sld_map_set(&in->watched, namespaces[i], in);
    size_t at = 0;
    for (struct object *o; (o = sld_set_next(&in->objects, &at));)
        object_refresh(in, o);
}
