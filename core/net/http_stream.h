// net/http_stream: an HTTP call whose answer is read as it comes, by a client of net/http.h. [io]
#pragma once

#include "net/http.h"

struct sld_http_stream;

// What has come. Borrowed until the next call for the stream, or turn of the loop.
struct sld_http_stream_state {
    int status; // 0: the head of the answer has not come
    const struct sld_http_header *headers;
    size_t header_count;
    struct sld_str bytes;      // that were not taken
    bool ended;                // no more come
    const struct sld_err *err; // why they ended before their end; NULL: they did not
};

// Starts CALL, as sld_http_start; its max_body_bytes is how much is held: the peer waits while so much was not taken. NEWS comes
// when there is more to be looked at, not before this returns and not from within calls for the stream; it may close it. The client
// outlives the stream.
struct sld_http_stream *sld_http_stream_open(struct sld_http_client *c, const struct sld_http_call *call, void (*news)(void *user),
                                             void *user);
struct sld_http_stream_state sld_http_stream_look(struct sld_http_stream *s);
// The first N bytes are done with.
void sld_http_stream_take(struct sld_http_stream *s, size_t n);
// NULL is fine.
void sld_http_stream_close(struct sld_http_stream *s);
