// Any requests, on a delta stream and a state-of-the-world stream of one server, between edits of its few
// resources: nothing but the room's own assertions may judge, and every response must be a message in which
// no name comes twice.
//
// The input is a list of steps: an operation byte, and for a request a length byte (times 1, or 64 for the
// operations of big ones) and its bytes.
#include "xds/wire.h"
#include "xds/xds.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 2, NAMES = 4 };

enum op { OP_DELTA, OP_SOTW, OP_DELTA_BIG, OP_SOTW_BIG, OP_SENT, OP_EDIT, OP_TIME, OP_AGAIN, OP_COUNT };

struct peer {
    struct sld_xds_stream *stream;
    enum sld_xds_kind kind;
    bool owes_sent, closed;
};

static void check(enum sld_xds_kind kind, struct sld_str bytes)
{
    struct sld_map names = {0};
    struct sld_wire w = sld_wire_open(bytes);
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        struct sld_str name = f.number == 6 ? f.bytes : SLD_STR_NONE;
        struct sld_wire r = sld_wire_open(f.bytes);
        for (struct sld_wire_field g; f.number == 2 && sld_wire_next(&r, &g);)
            name = g.number == 3 ? g.bytes : name;
        SLD_INV(!r.bad);
        if (kind == SLD_XDS_DELTA_ADS && name.p)
            SLD_INV(sld_map_set(&names, name, &names) == NULL);
    }
    SLD_INV(!w.bad);
    sld_map_fini(&names);
}

static void on_send(void *user, const struct sld_str *slices, struct sld_obj *const *owners, size_t n)
{
    struct peer *p = user;
    struct sld_buf b;
    (void)owners;
    SLD_INV(!p->owes_sent && !p->closed);
    p->owes_sent = true;
    sld_buf_init(&b, SIZE_MAX / 2);
    for (size_t i = 0; i < n; i++)
        sld_buf_add(&b, slices[i]);
    check(p->kind, sld_buf_str(&b));
    sld_buf_fini(&b);
}

static void on_close(void *user, int status, struct sld_str message)
{
    struct peer *p = user;
    SLD_INV(!p->closed && status > 0 && message.n > 0);
    p->closed = true;
}

static void peer_open(struct sld_xds *x, struct peer *p, enum sld_xds_kind kind, uint64_t now)
{
    static const struct sld_xds_sender sender = {on_send, on_close};
    *p = (struct peer){.kind = kind};
    p->stream = sld_xds_stream_open(x, kind, &sender, p, SLD_STR("fuzz"), now);
}

static struct sld_str name_of(unsigned i)
{
    static const struct sld_str names[NAMES] = {SLD_STR_INIT("a"), SLD_STR_INIT("b"),
                                                SLD_STR_INIT("c"), SLD_STR_INIT("d")};
    return names[i % NAMES];
}

// One resource made, changed or removed; WHAT chooses.
static void edit(struct sld_xds *x, unsigned what, uint64_t now)
{
    enum sld_xds_type t = (enum sld_xds_type)(what % SLD_XDS_TYPE_COUNT);
    struct sld_str name = name_of(what / 8);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    struct sld_xds_resource *r = NULL;
    if (what & 0x80) {
        char rev = (char)('0' + (what >> 5 & 3));
        r = sld_xds_resource_create(t, name);
        r->bytes = sld_arena_str(&r->arena, (struct sld_str){&rev, 1});
        r->shape = (struct sld_hash){1, 1};
        r->eds = t == SLD_XDS_CLUSTER && rev != '3';
        r->gated = t == SLD_XDS_CLUSTER && rev == '2';
        if (t == SLD_XDS_ROUTE)
            SLD_PUSH(&r->arena, r->clusters, r->cluster_count, name_of(what / 32));
        struct sld_xds_ref ref = {SLD_XDS_ROUTE, name_of(what / 32)};
        if (t == SLD_XDS_LISTENER)
            SLD_PUSH(&r->arena, r->needs, r->need_count, ref);
        sld_xds_resource_seal(r);
    }
    sld_xds_batch_add(b, t, what & 0x40 ? SLD_STR("gw") : SLD_STR(""), name, r);
    SLD_UNREF(r);
    sld_xds_apply(x, b, now);
}

struct run {
    struct sld_xds *x;
    struct peer peers[STREAMS];
    uint64_t now;
};

static void settle_sent(struct run *r, struct peer *p)
{
    if (!p->owes_sent)
        return;
    p->owes_sent = false;
    sld_xds_stream_sent(p->stream, r->now);
}

static void again(struct run *r, struct peer *p)
{
    sld_xds_stream_closed(p->stream, r->now);
    peer_open(r->x, p, p->kind, r->now);
}

static struct sld_str take(struct sld_str *in, size_t unit)
{
    size_t n = in->n ? (size_t)(unsigned char)in->p[0] * unit : 0;
    *in = sld_str_sub(*in, 1, in->n);
    struct sld_str bytes = sld_str_sub(*in, 0, n);
    *in = sld_str_sub(*in, bytes.n, in->n);
    return bytes;
}

static void step(struct run *r, unsigned op, struct sld_str *in)
{
    struct sld_str bytes;
    struct peer *p = &r->peers[op / OP_COUNT % STREAMS];
    switch ((enum op)(op % OP_COUNT)) {
    case OP_DELTA:
    case OP_SOTW:
    case OP_DELTA_BIG:
    case OP_SOTW_BIG:
        p = &r->peers[op % 2];
        bytes = take(in, op % OP_COUNT >= OP_DELTA_BIG ? 64 : 1);
        sld_xds_stream_message(p->stream, bytes, r->now);
        break;
    case OP_SENT:
        settle_sent(r, p);
        break;
    case OP_EDIT:
        bytes = take(in, 1);
        for (size_t i = 0; i < bytes.n && i < 4; i++)
            edit(r->x, (unsigned char)bytes.p[i], r->now);
        break;
    case OP_TIME:
        r->now += (uint64_t)(op / OP_COUNT) * 1000000000u;
        (void)sld_xds_tick(r->x, r->now);
        break;
    case OP_AGAIN:
        again(r, p);
        break;
    case OP_COUNT:
        break;
    }
}

static void ignore_client(const struct sld_xds_client_info *c, void *arg)
{
    (void)c;
    (void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.now = 1000000000};
    struct sld_xds_options o;
    struct sld_str in = {(const char *)data, size};
    sld_log_set_level(SLD_LOG_ERROR);
    sld_xds_options_default(&o);
    o.max_names = 64;
    o.max_response_bytes = 512;
    o.linger_ns = 2000000000;
    r.x = sld_xds_create(&o, NULL);
    for (unsigned i = 0; i < 2 * SLD_XDS_TYPE_COUNT; i++)
        edit(r.x, 0xc0 | i, r.now);
    sld_xds_serve(r.x, r.now);
    peer_open(r.x, &r.peers[0], SLD_XDS_DELTA_ADS, r.now);
    peer_open(r.x, &r.peers[1], SLD_XDS_SOTW_ADS, r.now);
    while (in.n) {
        unsigned op = (unsigned char)in.p[0];
        in = sld_str_sub(in, 1, in.n);
        step(&r, op, &in);
        // Most peers take what they are sent: only an operation with the top bit leaves it on its way.
        for (size_t i = 0; i < STREAMS && !(op & 0x80); i++)
            settle_sent(&r, &r.peers[i]);
        sld_xds_clients(r.x, ignore_client, NULL);
    }
    for (size_t i = 0; i < STREAMS; i++)
        sld_xds_stream_closed(r.peers[i].stream, r.now);
    sld_xds_destroy(r.x);
    return 0;
}
