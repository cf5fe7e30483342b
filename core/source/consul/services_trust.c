// Whether a service that is not told of any more is gone, or may only not be seen: Consul answers
// both alike, so it is asked what the token may see.
#include "codec/doc.h"
#include "source/consul/services_inside.h"

enum { BATCH_MAX = 64, NODES_MAX = 3, RETRY_MS = 1000 };

static struct svc_entry *entry_of(struct sld_list *link)
{
    return SLD_CONTAINER_OF(link, struct svc_entry, doubt.link);
}

// The nodes that are asked for with E, in A.
static size_t nodes_of(struct sld_arena *a, const struct svc_entry *e, struct sld_str *out)
{
    const struct sld_instances *set = e->part ? e->part->set : NULL;
    size_t count = set ? set->count < NODES_MAX ? set->count : NODES_MAX : 0, n = 0;
    const struct sld_instance *items = count ? sld_instances_first(a, set, count) : NULL;
    for (; n < count; n++)
        out[n] = items[n].node.p ? items[n].node : SLD_STR("");
    return n;
}

static bool has_node(const struct svc_entry *e, struct sld_str node)
{
    struct sld_arena a = {0};
    struct sld_str nodes[NODES_MAX];
    size_t n = nodes_of(&a, e, nodes);
    bool has = false;
    for (size_t i = 0; i < n; i++)
        has = has || sld_str_eq(nodes[i], node);
    sld_arena_fini(&a);
    return has;
}

// An entry may be seen when nothing that was asked for it is denied.
struct verdicts {
    struct svc *s;
    struct svc_entry *denied[BATCH_MAX];
    size_t denied_count;
};

static void deny(struct verdicts *v, struct svc_entry *e)
{
    for (size_t i = 0; i < v->denied_count; i++) {
        if (v->denied[i] == e)
            return;
    }
    if (v->denied_count < BATCH_MAX)
        v->denied[v->denied_count++] = e;
}

static void on_right(void *user, struct sld_str resource, struct sld_str segment, bool allow)
{
    struct verdicts *v = user;
    bool node = sld_str_eq(resource, SLD_STR("node"));
    SLD_LIST_EACH (it, &v->s->doubts) {
        struct svc_entry *e = entry_of(it);
        if (!e->doubt.sent || !(node ? has_node(e, segment) : sld_str_eq(e->name->text, segment)))
            continue;
        e->doubt.allowed |= allow && !node;
        if (!allow)
            deny(v, e);
    }
}

static enum svc_verdict verdict(const struct verdicts *v, const struct svc_entry *e, bool known,
                                bool no_acls)
{
    // An agent without rules always lists at least Consul's own service.
    if (no_acls)
        return e->dc->listed ? SVC_SEEN : SVC_UNKNOWN;
    if (!known)
        return SVC_UNKNOWN;
    for (size_t i = 0; i < v->denied_count; i++) {
        if (v->denied[i] == e)
            return SVC_DENIED;
    }
    return e->doubt.allowed ? SVC_SEEN : SVC_UNKNOWN; // a list of nothing says nothing
}

static void on_answer(void *user, const struct sld_consul_answer *a)
{
    struct svc *s = user;
    struct verdicts v = {.s = s};
    struct sld_arena arena = {0};
    bool no_acls = a->status == 401, known = false, again = false;
    s->doubt_call = NULL;
    if (!a->err && a->status == 200)
        known = svc_read_rights(&arena, a->body, on_right, &v);
    sld_arena_fini(&arena);
    // One by one: a verdict may end other doubts.
    for (bool more = true; more;) {
        more = false;
        SLD_LIST_EACH (it, &s->doubts) {
            struct svc_entry *e = entry_of(it);
            if (!e->doubt.sent)
                continue;
            e->doubt.sent = false;
            more = true;
            enum svc_verdict is = verdict(&v, e, known, no_acls);
            again |= is == SVC_UNKNOWN;
            sld_list_remove(&e->doubt.link);
            if (is == SVC_UNKNOWN)
                sld_list_push(&s->doubts, &e->doubt.link); // others first
            svc_entry_verdict(e, is);
            break;
        }
    }
    if (!sld_list_empty(&s->doubts))
        sld_timer_start(s->doubt_timer, again ? RETRY_MS : 0);
}

static void add(struct sld_json *j, const char *resource, struct sld_str segment)
{
    sld_json_begin(j, '{');
    sld_json_key(j, "Resource");
    sld_json_str(j, sld_str_c(resource));
    sld_json_key(j, "Access");
    sld_json_str(j, SLD_STR("read"));
    sld_json_key(j, "Segment");
    sld_json_str(j, segment);
    sld_json_end(j, '}');
}

static void ask(struct svc *s)
{
    struct sld_buf b;
    struct sld_json j;
    struct sld_arena a = {0};
    struct sld_str nodes[NODES_MAX];
    size_t n = 0;
    sld_buf_init(&b, 1U << 20);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '[');
    SLD_LIST_EACH (it, &s->doubts) {
        struct svc_entry *e = entry_of(it);
        if (n++ == BATCH_MAX)
            break;
        e->doubt.sent = true;
        e->doubt.allowed = false;
        add(&j, "service", e->name->text);
        size_t node_count = nodes_of(&a, e, nodes);
        for (size_t i = 0; i < node_count; i++)
            add(&j, "node", nodes[i]);
    }
    sld_arena_fini(&a);
    sld_json_end(&j, ']');
    struct sld_consul_query q = {.method = SLD_STR("POST"),
                                 .path = SLD_STR("/v1/internal/acl/authorize"),
                                 .body = sld_buf_str(&b)};
    s->doubt_call = sld_consul_ask(s->consul, &q, on_answer, s);
    sld_buf_fini(&b);
}

void svc_on_doubts(void *user)
{
    struct svc *s = user;
    if (!s->doubt_call && !sld_list_empty(&s->doubts))
        ask(s);
}

void svc_doubt_ask(struct svc_entry *e)
{
    struct svc *s = e->dc->svc;
    if (!sld_list_empty(&e->doubt.link))
        return;
    e->doubt.sent = false;
    sld_list_push(&s->doubts, &e->doubt.link);
    if (!s->doubt_call)
        sld_timer_start(s->doubt_timer, 0); // those of this turn together
}

void svc_doubt_drop(struct svc_entry *e)
{
    sld_list_remove(&e->doubt.link);
    e->doubt.sent = false;
}

void svc_trust_fini(struct svc *s)
{
    sld_consul_cancel(s->doubt_call);
    s->doubt_call = NULL;
    sld_timer_destroy(s->doubt_timer);
}
