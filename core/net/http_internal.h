// What the files of the HTTP server share.
#pragma once

#include <llhttp.h>
#include <uv.h>

#include "loop/loop.h"
#include "net/address.h"
#include "net/http.h"
#include "net/tls.h"

struct sld_http_conn;

enum {
    SLD_HTTP_HEADERS_MAX = 128,           // header lines of a request
    SLD_HTTP_AHEAD_BYTES = 64 * 1024,     // read ahead of the request being answered
    SLD_HTTP_LINGER_MS = 2 * 1000,        // a closing side waits so long for the other one
};

struct sld_http_span { // in request->head
    size_t at, n;
};

struct sld_http_request {
    struct sld_list link;                 // in server->requests, once whole
    struct sld_http_server *server;
    struct sld_http_conn *conn;           // NULL = the client left, the answer goes nowhere
    struct sld_arena arena;
    struct sld_buf head;                  // target, names and values, one after the other
    struct sld_buf body;
    struct sld_http_span target;
    struct {
        struct sld_http_span name, value;
    } headers[SLD_HTTP_HEADERS_MAX];
    size_t header_count;
    struct sld_str method, path, query;   // in the arena
    char peer[SLD_NET_TEXT_MAX];
    bool is_head;                         // HEAD: the answer has no body
    bool keep_alive;
    void (*gone)(void *user);
    void *gone_user;
};

struct sld_http_server {
    struct sld_loop *loop;
    struct sld_http_server_options options;
    sld_http_handler *fn;
    void *user;
    struct sld_list listeners, conns, requests;
    unsigned conn_count;
    unsigned handles;                     // listeners and connections not closed yet
    bool destroyed;
};

// How far the request being received is.
enum sld_http_state {
    SLD_HTTP_IDLE,       // between requests
    SLD_HTTP_RECEIVING,
    SLD_HTTP_ANSWERING,  // with the handler
    SLD_HTTP_WRITING,    // the answer is on its way
    SLD_HTTP_LINGERING,  // the answer is out; reading and throwing away until the client closes
    SLD_HTTP_CLOSED,
};

struct sld_http_conn {
    struct sld_list link;                 // in server->conns
    struct sld_http_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_timer_t timer;
    uv_shutdown_t shutdown;
    unsigned handles;                     // of uv and timer, not closed yet
    enum sld_http_state state;
    struct sld_tls *tls;                  // NULL = plain
    struct sld_buf ahead;                 // plain text not given to the parser yet
    llhttp_t parser;
    struct sld_http_request *rq;          // being received or with the handler
    int refuse;                           // status that the parser callbacks want to end with
    bool keep_alive;                      // after the answer being written
    bool reading;                         // uv_read_start is in force
    bool eof;                             // the client will send no more
    char peer[SLD_NET_TEXT_MAX];
    char read_space[16 * 1024];
};

// ---- http_conn.c ----

// Takes over an accepted connection whose uv.stream is open; TLS may be NULL.
void sld_http_conn_start(struct sld_http_conn *c, struct sld_tls_config *tls);
// Answers with STATUS and closes, whatever the client is sending.
void sld_http_conn_refuse(struct sld_http_conn *c, int status);
// Closes it at once; a waiting request is told or orphaned.
void sld_http_conn_close(struct sld_http_conn *c);
// Sends the answer to c->rq, which is gone afterwards; then the next request or the end follows.
void sld_http_conn_answer(struct sld_http_conn *c, struct sld_str head, struct sld_str body);
// Sends BYTES in the middle of a request (100 Continue).
void sld_http_conn_write(struct sld_http_conn *c, struct sld_str bytes);

// ---- http_server.c ----

// Notes that a connection or listener is closed for good; frees a destroyed server with the last.
void sld_http_server_handle_gone(struct sld_http_server *s);

// ---- http_parse.c ----

void sld_http_parser_init(struct sld_http_conn *c);
// Feeds c->ahead to the parser until a request is whole (true), or all is eaten, or it is refused
// (c->refuse gets the status).
bool sld_http_parse(struct sld_http_conn *c);

// ---- http_request.c ----

struct sld_http_request *sld_http_request_create(struct sld_http_conn *c);
void sld_http_request_destroy(struct sld_http_request *rq);
// Splits and decodes the target; false when it cannot be.
bool sld_http_request_finish(struct sld_http_request *rq);
// The standard phrase.
const char *sld_http_reason(int status);
