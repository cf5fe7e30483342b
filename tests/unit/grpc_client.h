// A client of gRPC core for tests: one call per client, every step waited for (60 s at most).
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include "base/base.h"

enum { T_INITIAL = 1, T_SEND, T_RECV, T_STATUS, T_HALF, T_TAGS };

struct client {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    grpc_byte_buffer *received;
    bool completed[T_TAGS], ok[T_TAGS];
};

static inline void *tag(int n)
{
    return (void *)(intptr_t)n;
}

static inline bool client_wait(struct client *c, int t)
{
    while (!c->completed[t]) {
        gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME),
                                          gpr_time_from_seconds(60, GPR_TIMESPAN));
        grpc_event ev = grpc_completion_queue_next(c->cq, until, NULL);
        assert_int_equal(ev.type, GRPC_OP_COMPLETE);
        c->completed[(intptr_t)ev.tag] = true;
        c->ok[(intptr_t)ev.tag] = ev.success != 0;
    }
    c->completed[t] = false;
    return c->ok[t];
}

static inline void client_start(struct client *c, const grpc_op *ops, size_t n, int t)
{
    assert_int_equal(grpc_call_start_batch(c->call, ops, n, tag(t), NULL), GRPC_CALL_OK);
}

// VALUE goes along as the metadata KEY; NULL: nothing does.
static inline void client_open_with(struct client *c, const char *target, grpc_channel_credentials *creds,
                        const char *method, const char *key, const char *value)
{
    char pool[] = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL;
    char receive[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH;
    grpc_arg args[] = {{.type = GRPC_ARG_INTEGER, .key = pool, .value.integer = 1},
                       {.type = GRPC_ARG_INTEGER, .key = receive, .value.integer = -1}};
    const grpc_channel_args list = {2, args};
    memset(c, 0, sizeof(*c));
    grpc_channel_credentials *plain = creds ? NULL : grpc_insecure_credentials_create();
    c->channel = grpc_channel_create(target, creds ? creds : plain, &list);
    if (plain)
        grpc_channel_credentials_release(plain);
    c->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_slice name = grpc_slice_from_copied_string(method);
    c->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->cq, name, NULL,
                                       gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_slice_unref(name);
    grpc_metadata_array_init(&c->initial);
    grpc_metadata_array_init(&c->trailing);
    const grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                            .data.recv_status_on_client = {.trailing_metadata = &c->trailing,
                                                           .status = &c->status,
                                                           .status_details = &c->details}};
    grpc_metadata sent = {0};
    if (value) {
        sent.key = grpc_slice_from_copied_string(key);
        sent.value = grpc_slice_from_copied_string(value);
    }
    const grpc_op initial[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA, .data.send_initial_metadata = {.count = value ? 1 : 0, .metadata = &sent}},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &c->initial},
    };
    client_start(c, &status, 1, T_STATUS);
    client_start(c, initial, 2, T_INITIAL);
    if (value) {
        grpc_slice_unref(sent.key);
        grpc_slice_unref(sent.value);
    }
}

static inline void client_open(struct client *c, const char *target, grpc_channel_credentials *creds, const char *method)
{
    client_open_with(c, target, creds, method, NULL, NULL);
}

static inline void client_send(struct client *c, struct sld_str s)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(s.p, s.n);
    grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    const grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bb};
    client_start(c, &op, 1, T_SEND);
    client_wait(c, T_SEND);
    grpc_byte_buffer_destroy(bb);
}

static inline void client_half_close(struct client *c)
{
    const grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    client_start(c, &op, 1, T_HALF);
    client_wait(c, T_HALF);
}

// The next message as a blob, or NULL at the end.
static inline struct sld_blob *client_recv(struct client *c)
{
    const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                        .data.recv_message.recv_message = &c->received};
    client_start(c, &op, 1, T_RECV);
    if (!client_wait(c, T_RECV) || !c->received)
        return NULL;
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, c->received);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    struct sld_blob *b = sld_blob_create((struct sld_str){
        (const char *)GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)});
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(c->received);
    return b;
}

static inline void client_expect(struct client *c, struct sld_str want)
{
    struct sld_blob *b = client_recv(c);
    assert_non_null(b);
    assert_true(sld_str_eq(b->data, want));
    SLD_UNREF(b);
}

static inline grpc_status_code client_status(struct client *c)
{
    client_wait(c, T_STATUS);
    return c->status;
}

// Leaves without a word when the status was not waited for.
static inline void client_close(struct client *c, bool has_status)
{
    if (!has_status) {
        grpc_call_cancel(c->call, NULL);
        client_wait(c, T_STATUS);
    }
    grpc_call_unref(c->call);
    grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->cq);
    while (grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(c->cq);
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    grpc_slice_unref(c->details);
}
