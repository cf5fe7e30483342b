// One gRPC call on the server: its operations, and the order in which it ends.
//
//   accept -> INITIAL, OVER, RECEIVED outstanding
//   RECEIVED -> on_message, again RECEIVED ... -> nothing came: on_half_close
//   send -> SENT -> on_sent     one at a time: a client that never reads costs one message
//   close -> STATUS, guarded by a timer, since flow control may hold it up behind a send
//   OVER and nothing else outstanding -> on_closed, free
#include "net/grpc_internal.h"

#include <stdio.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>

enum {
    CLOSE_GUARD_MS = 5 * 1000,
    COPY_MAX_BYTES = 256,       // smaller slices cost more as references than as copies
    SLICES_INLINE = 64,
};

static void start(struct sld_core_stream *st, const grpc_op *op, struct sld_grpc_tag *tag);
static void start_receive(struct sld_core_stream *st);
static void start_status(struct sld_core_stream *st, int status, struct sld_str message);
static void finish(struct sld_core_stream *st);

// gRPC's peer is a URI: "ipv4:127.0.0.1:80", "ipv6:%5B::1%5D:80", "unix:...".
static void peer_text(grpc_call *call, char *out, size_t size)
{
    char *uri = grpc_call_get_peer(call);
    struct sld_str s = sld_str_c(uri);
    struct sld_buf b;
    sld_buf_init(&b, size - 1);
    if (sld_str_starts(s, SLD_STR("unix"))) {
        sld_buf_addz(&b, "unix");
    } else {
        s = sld_str_sub(s, (size_t)(sld_str_index(s, ':') + 1), s.n);
        while (s.n > 0) {
            bool open = sld_str_starts(s, SLD_STR("%5B"));
            bool encoded = open || sld_str_starts(s, SLD_STR("%5D"));
            sld_buf_addc(&b, !encoded ? s.p[0] : open ? '[' : ']');
            s = sld_str_sub(s, encoded ? 3 : 1, s.n);
        }
    }
    snprintf(out, size, "%.*s", SLD_FMT(sld_buf_str(&b)));
    sld_buf_fini(&b);
    gpr_free(uri);
}

static struct sld_str slice_str(const grpc_slice *s)
{
    return (struct sld_str){(const char *)GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s)};
}

void sld_grpc_stream_accept(struct sld_core_server *s, struct sld_grpc_slot *slot, bool limit)
{
    struct sld_core_stream *st = SLD_NEW(struct sld_core_stream);
    st->door.ops = &sld_core_ops;
    st->server = s;
    st->call = slot->call;
    st->initial = (struct sld_grpc_tag){SLD_GRPC_INITIAL, st};
    st->receive = (struct sld_grpc_tag){SLD_GRPC_RECEIVED, st};
    st->send = (struct sld_grpc_tag){SLD_GRPC_SENT, st};
    st->status = (struct sld_grpc_tag){SLD_GRPC_STATUS, st};
    st->closed = (struct sld_grpc_tag){SLD_GRPC_OVER, st};
    st->status_text = grpc_empty_slice();
    sld_list_push(&s->streams, &st->link);
    s->live++;
    const grpc_op over = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                          .data.recv_close_on_server.cancelled = &st->cancelled};
    const grpc_op initial = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    start(st, &over, &st->closed);
    start(st, &initial, &st->initial);
    if (limit) {
        start_status(st, GRPC_STATUS_RESOURCE_EXHAUSTED, SLD_STR("too many calls"));
        return;
    }
    char peer[SLD_NET_TEXT_MAX];
    peer_text(st->call, peer, sizeof(peer));
    if (s->state == SLD_GRPC_SERVING)
        st->user = s->handlers.on_call(s->handlers.user, &st->door, slice_str(&slot->details.method),
                                       sld_str_c(peer));
    if (!st->user) {
        if (!st->closing)
            start_status(st, GRPC_STATUS_UNIMPLEMENTED, SLD_STR("unknown method"));
        return;
    }
    s->serving++;
    start_receive(st);
}

// ---- Sending ----

static void release_owner(void *owner)
{
    SLD_UNREF(owner);
}

// The message as gRPC slices in OUT (room for N + 1): what has an owner is referenced, runs of
// small or unowned slices are gathered into copies. Returns their count.
static size_t gather(const struct sld_str *slices, struct sld_obj *const *owners, size_t n,
                     grpc_slice *out)
{
    size_t count = 0;
    size_t i = 0;
    while (i < n) {
        size_t run = 0;
        size_t end = i;
        while (end < n && (!owners || !owners[end] || slices[end].n <= COPY_MAX_BYTES))
            run += slices[end++].n;
        if (run > 0) {
            grpc_slice copy = grpc_slice_malloc(run);
            unsigned char *to = GRPC_SLICE_START_PTR(copy);
            for (; i < end; to += slices[i].n, i++) {
                if (slices[i].n)
                    memcpy(to, slices[i].p, slices[i].n);
            }
            out[count++] = copy;
        }
        i = end;
        if (i < n) {
            // gRPC does not write into slices it was given.
            union {
                const char *in;
                void *out;
            } bytes = {.in = slices[i].p};
            out[count++] = grpc_slice_new_with_user_data(bytes.out, slices[i].n, release_owner,
                                                         sld_obj_ref(owners[i]));
            i++;
        }
    }
    return count;
}

void sld_core_send(struct sld_grpc_stream *door, const struct sld_str *slices,
                   struct sld_obj *const *owners, size_t n)
{
    struct sld_core_stream *st = (struct sld_core_stream *)door;
    sld_loop_assert_owner(st->server->io);
    SLD_PRE(!st->sending);
    SLD_PRE(!st->closing);
    grpc_slice few[SLICES_INLINE];
    grpc_slice *all = n <= SLICES_INLINE ? few : sld_xalloc(n * sizeof(*all));
    size_t count = gather(slices, owners, n, all);
    st->sending = grpc_raw_byte_buffer_create(all, count);
    for (size_t i = 0; i < count; i++)
        grpc_slice_unref(all[i]); // the byte buffer has its own reference
    if (all != few)
        sld_xfree(all);
    const grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = st->sending};
    start(st, &op, &st->send);
}

// ---- Ending ----

static void guard_fired(void *user)
{
    struct sld_core_stream *st = user;
    grpc_call_cancel(st->call, NULL);
}

void sld_core_close(struct sld_grpc_stream *door, int status, struct sld_str message)
{
    struct sld_core_stream *st = (struct sld_core_stream *)door;
    sld_loop_assert_owner(st->server->io);
    SLD_PRE(status >= 0 && status <= GRPC_STATUS_UNAUTHENTICATED);
    if (!st->closing)
        start_status(st, status, message);
}

static void start_status(struct sld_core_stream *st, int status, struct sld_str message)
{
    st->closing = true;
    st->status_text = grpc_slice_from_copied_buffer(message.p ? message.p : "", message.n);
    const grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                        .data.send_status_from_server = {.status = (grpc_status_code)status,
                                                         .status_details = &st->status_text}};
    start(st, &op, &st->status);
    if (!st->over) {
        st->guard = sld_timer_create(st->server->io, guard_fired, st);
        sld_timer_start(st->guard, CLOSE_GUARD_MS);
    }
}

static void finish(struct sld_core_stream *st)
{
    struct sld_core_server *s = st->server;
    if (st->user) {
        s->serving--;
        s->handlers.on_closed(st->user);
    }
    sld_timer_destroy(st->guard);
    grpc_slice_unref(st->status_text);
    grpc_call_unref(st->call);
    sld_list_remove(&st->link);
    s->live--;
    sld_xfree(st);
    sld_grpc_server_settle(s);
}

// ---- Completions ----

static void start(struct sld_core_stream *st, const grpc_op *op, struct sld_grpc_tag *tag)
{
    grpc_call_error e = grpc_call_start_batch(st->call, op, 1, tag, NULL);
    SLD_INV(e == GRPC_CALL_OK);
    st->pending++;
}

static void start_receive(struct sld_core_stream *st)
{
    const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                        .data.recv_message.recv_message = &st->received};
    start(st, &op, &st->receive);
}

static void deliver(struct sld_core_stream *st, grpc_byte_buffer *bb)
{
    grpc_byte_buffer_reader reader;
    int rc = grpc_byte_buffer_reader_init(&reader, bb);
    SLD_INV(rc != 0);
    const grpc_slice_buffer *raw = &bb->data.raw.slice_buffer;
    grpc_slice whole = raw->count == 1 ? grpc_slice_ref(raw->slices[0])
                                       : grpc_byte_buffer_reader_readall(&reader);
    st->server->handlers.on_message(st->user, slice_str(&whole));
    grpc_slice_unref(whole);
    grpc_byte_buffer_reader_destroy(&reader);
}

static void on_received(struct sld_core_stream *st, bool ok)
{
    const struct sld_grpc_handlers *h = &st->server->handlers;
    grpc_byte_buffer *bb = st->received;
    st->received = NULL;
    if (ok && bb && !st->closing) {
        deliver(st, bb);
        if (!st->closing)
            start_receive(st);
    } else if (!st->over && !st->closing && h->on_half_close) {
        h->on_half_close(st->user);
    }
    if (bb)
        grpc_byte_buffer_destroy(bb);
}

void sld_grpc_stream_event(struct sld_core_stream *st, enum sld_grpc_event ev, bool ok)
{
    SLD_INV(st->pending > 0);
    st->pending--;
    switch (ev) {
    case SLD_GRPC_RECEIVED:
        on_received(st, ok);
        break;
    case SLD_GRPC_SENT:
        grpc_byte_buffer_destroy(st->sending);
        st->sending = NULL;
        if (ok && !st->closing && !st->over && st->server->handlers.on_sent)
            st->server->handlers.on_sent(st->user);
        break;
    case SLD_GRPC_OVER:
        st->over = true;
        break;
    case SLD_GRPC_INITIAL:
    case SLD_GRPC_STATUS:
        break;
    case SLD_GRPC_ACCEPTED:
    case SLD_GRPC_DOWN:
        SLD_UNREACHABLE();
    }
    if (st->over && st->pending == 0)
        finish(st);
}
