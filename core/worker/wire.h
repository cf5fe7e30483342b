// Private to the room: Envoy's messages about a request that is changed on its way. (transform_wire.c)
#pragma once

#include "worker/inside.h"

enum wk_part { WK_HEADERS, WK_BODY, WK_TRAILERS };
enum wk_body_mode { WK_BODY_NONE, WK_BODY_WHOLE, WK_BODY_PIECES };

// What Envoy tells. Texts are in the arena it was read into.
struct wk_message {
    enum wk_part part;
    bool response; // of it; else of the request
    bool last;     // no body, and no trailers, come behind it
    struct sld_str body;
    struct sld_pair *headers; // or trailers, pseudo headers among them
    size_t header_count;
    bool has_modes; // the first one: how bodies will be sent
    enum wk_body_mode modes[2];
    struct sld_str source, sni, route, subject, uri, dns; // attributes; absent: nothing
};
// SLD_INVALID, SLD_LIMIT.
SLD_NODISCARD enum sld_rc wk_wire_read(struct sld_arena *a, struct sld_str bytes, struct wk_message *m, struct sld_err *err);

// What was there before plugins changed it.
struct wk_came {
    struct sld_str method, path, host;
    unsigned code;
};
// The headers of M become those of X, which has its arena.
void wk_wire_headers(struct sld_exchange *x, struct wk_came *came, const struct wk_message *m);

// The answer to PART of what X is about.
struct wk_answer {
    enum wk_part part;
    bool response;
    bool edits;          // those of X go along
    struct sld_str body; // it becomes that; absent: it stays
    bool replace;        // BODY takes the place of all that would come
};
// In A; the metadata of X go along, and are X's no more.
struct sld_str wk_wire_answer(struct sld_arena *a, struct sld_exchange *x, const struct wk_came *came, const struct wk_answer *an);
// X is answered as it says itself.
struct sld_str wk_wire_respond(struct sld_arena *a, struct sld_exchange *x);
