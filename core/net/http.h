// net/http: an HTTP/1.1 server (llhttp, optional mbedTLS) and a client (libcurl multi), both on the io loop.
#pragma once

#include "base/base.h"

struct sld_loop;

// ---- Server ---- [io]

struct sld_http_server;
struct sld_http_request; // one request being answered

struct sld_http_header {
    struct sld_str name, value;
};

// Zeroes mean the defaults named.
struct sld_http_server_options {
    size_t max_header_bytes;  // target and header lines of a request; 64 KiB, else 431
    size_t max_body_bytes;    // 4 MiB, else 413
    unsigned max_connections; // 256, else 503
    uint64_t idle_timeout_ms; // 60 s; also the time a request may take to arrive (408) and an answer to leave
};

// Called once per request, whole. Answer now or later by sld_http_respond. Requests of one connection come one after
// the other.
typedef void sld_http_handler(struct sld_http_request *rq, void *user);

// O may be NULL.
struct sld_http_server *sld_http_server_create(struct sld_loop *l, const struct sld_http_server_options *o,
                                               sld_http_handler *fn, void *user);
struct sld_http_tls {
    struct sld_str cert_chain_pem, key_pem;
    struct sld_str client_ca_pem; // absent = clients need no certificate
};
// "127.0.0.1:9091", "[::1]:9091", "unix:/path" (mode 0600; a live socket is SLD_CONFLICT, a dead one replaced).
// Port 0 takes a free one; *PORT gets it.
SLD_NODISCARD enum sld_rc sld_http_server_listen(struct sld_http_server *s, struct sld_str address,
                                                 const struct sld_http_tls *tls, int *port, struct sld_err *err);
// Replaces certificate, key and client CA of the TLS listeners for connections to come. SLD_INVALID: nothing changed.
SLD_NODISCARD enum sld_rc sld_http_server_set_tls(struct sld_http_server *s, const struct sld_http_tls *tls,
                                                  struct sld_err *err);
// Closes everything; unanswered requests become invalid (those with sld_http_on_gone are told). Destroys S; the loop
// has to turn once more before it can be destroyed. NULL is fine.
void sld_http_server_destroy(struct sld_http_server *s);

// Parts of the request, valid until it is answered.
struct sld_str sld_http_method(const struct sld_http_request *rq);
struct sld_str sld_http_path(const struct sld_http_request *rq);  // percent-decoded, without query
// The first query parameter NAME, percent-decoded, '+' as a space; absent when not given or badly encoded.
struct sld_str sld_http_query(const struct sld_http_request *rq, struct sld_str name);
// All of it as it came; absent without a '?'.
struct sld_str sld_http_query_text(const struct sld_http_request *rq);
struct sld_str sld_http_header(const struct sld_http_request *rq, struct sld_str name);
struct sld_str sld_http_body(const struct sld_http_request *rq);
struct sld_str sld_http_peer(const struct sld_http_request *rq);  // "127.0.0.1:4711" or "unix"
// Arena that lives as long as the request.
struct sld_arena *sld_http_arena(struct sld_http_request *rq);
// Answers (STATUS 200 to 599); RQ is gone afterwards, everything given is copied before. Headers content-length, date
// and connection are added; a header with a line break is left out. HEAD, 204 and 304 get no body.
void sld_http_respond(struct sld_http_request *rq, int status, struct sld_str content_type,
                      const struct sld_http_header *extra, size_t extra_count, struct sld_str body);
// Calls GONE when the client leaves before the answer (RQ is invalid afterwards); for waiting requests. Without it RQ
// stays valid and its answer goes nowhere. A client that closes its sending side has left.
void sld_http_on_gone(struct sld_http_request *rq, void (*gone)(void *user), void *user);

// ---- Client ---- [io]

struct sld_http_client;

// Zeroes mean: absent, or the default named.
struct sld_http_call {
    struct sld_str method;      // "GET", ...; absent = GET
    struct sld_str url;         // http:// or https://
    struct sld_str unix_socket; // path, or absent
    const struct sld_http_header *headers;
    size_t header_count;
    struct sld_str body;
    uint64_t timeout_ms;        // whole call; 0 = none
    size_t max_body_bytes;      // ceiling of the answer; 0 = 16 MiB
    struct sld_str ca_file;     // absent = SSL_CERT_FILE, or the system's authorities
    struct sld_str ca_path;     // directory of PEM files, all of which count; with ca_file absent these alone
    struct sld_str cert_file, key_file; // PEM; absent = no client certificate
    struct sld_str server_name; // in TLS and verification, instead of the URL's host
    bool insecure;              // takes any certificate
    bool gzip;                  // asks for a compressed answer; max_body_bytes is of what it unpacks to
    bool secret;                // the answer's body holds secrets: its memory is overwritten when it is let go
};
// Borrowed during DONE.
struct sld_http_answer {
    int status;                 // 0 = no whole answer: see err
    const struct sld_http_header *headers;
    size_t header_count;
    struct sld_str body;
    // NULL when an answer came whole. SLD_LIMIT: larger than allowed; SLD_DENIED: the certificate is not trusted;
    // SLD_INVALID: no usable URL; SLD_IO: everything else, an answer cut short among it.
    const struct sld_err *err;
    // With ERR: the peer took a connection that was made for this call and closed it before it answered a line.
    bool hung_up;
};
typedef void sld_http_done(const struct sld_http_answer *a, void *user);

// MAX_PER_HOST connections to one host and port at a time (further calls wait for one; a call that waits for news takes
// one all the time); 0 = no limit. A peer whose machine is gone is noticed after 30 s. No redirects are followed. Proxy
// variables are obeyed, except for loopback.
struct sld_http_client *sld_http_client_create(struct sld_loop *l, unsigned max_per_host);
// Cancels all calls. The loop has to turn once more before it can be destroyed. NULL is fine.
void sld_http_client_destroy(struct sld_http_client *c);
struct sld_http_pending;
// Starts a call; everything in CALL is copied. DONE comes exactly once unless cancelled, never before this returns; the
// call is gone with it. DONE may start and cancel calls and destroy the client.
struct sld_http_pending *sld_http_start(struct sld_http_client *c, const struct sld_http_call *call,
                                        sld_http_done *done, void *user);
// No DONE any more. NULL is fine.
void sld_http_cancel(struct sld_http_pending *p);

// One blocking call without a loop, for the command line. BODY is in A.
SLD_NODISCARD enum sld_rc sld_http_fetch(struct sld_arena *a, const struct sld_http_call *call, int *status,
                                         struct sld_str *body, struct sld_err *err);
