// One HTTP call by libcurl, whoever drives it: the client on the loop, or the caller of fetch.
// Room-internal.
#pragma once

#include <curl/curl.h>

#include "net/http.h"

// Values of one call. Create; let libcurl run `easy`; then read the answer.
struct sld_http_easy {
    CURL *easy;
    struct curl_slist *headers;      // of the request
    struct curl_slist *connect_to;
    struct sld_arena arena;          // URL and headers; wiped at the end
    struct sld_buf body;
    struct sld_http_header *answer_headers;
    size_t answer_header_count;
    size_t header_bytes;
    int status;                      // of the last status line
    bool headers_done;               // the empty line behind the headers came
    bool has_length;
    bool bodiless;                   // HEAD, 204, 304: the length speaks of a body that does not come
    uint64_t length;
    size_t held_max;                 // of BODY, which somebody takes from; 0: it is kept whole
    bool paused, news;               // the peer waits; something came since this was cleared
    enum sld_rc refused;             // why a callback of ours ended the call; SLD_OK = it did not
    char text[CURL_ERROR_SIZE];
    char url[512];                   // without query and user, for messages
};

// Before anything of libcurl. [any]
void sld_http_easy_init(void);
// Prepares CALL; everything in it is copied. Any thread, but one call stays on one thread.
struct sld_http_easy *sld_http_easy_create(const struct sld_http_call *call);
void sld_http_easy_destroy(struct sld_http_easy *e); // NULL is fine
// Before it runs: no more of the body is held than max_body_bytes and what comes at once; then libcurl pauses.
void sld_http_easy_hold(struct sld_http_easy *e);
// The outcome after libcurl ended with RC; checks that the answer came whole.
enum sld_rc sld_http_easy_result(struct sld_http_easy *e, CURLcode rc, struct sld_err *err);
// Whether RC says that the peer closed a connection made for this call before it answered a line.
bool sld_http_easy_hung_up(const struct sld_http_easy *e, CURLcode rc);
