// Private to the room: a world that a test makes up: time passes when it is told to, and others answer what the test says.
#pragma once

#include "plugin/reactor.h"

struct pl_world;

// A world whose clock shows WALL_MS. Ends with pl_world_destroy, after all calls in it.
struct pl_world *pl_world_create(int64_t wall_ms);
struct sld_reactor *pl_world_reactor(struct pl_world *w);
// Goes on to the next thing that is due within LIMIT_MS from now, and lets it happen; false: there is none, and the time has passed.
bool pl_world_step(struct pl_world *w, uint64_t limit_ms);
// Lets all happen that is due within MS.
void pl_world_pass(struct pl_world *w, uint64_t ms);
// Things that are to happen.
size_t pl_world_pending(const struct pl_world *w);
// Who answers requests: FN fills OUT, zeroed before, with what lives until it is called again. Without one each request fails.
void pl_world_on_http(struct pl_world *w, void (*fn)(void *user, const struct sld_http_call *call, struct sld_http_answer *out),
                      void *user);
// The bodies of answers that are read as they come: piece N of one into *OUT; false: it ends before. A second lies between two. Without one
// they come at once.
void pl_world_on_piece(struct pl_world *w, bool (*fn)(void *user, const struct sld_http_call *call, size_t n, struct sld_str *out), void *user);
// How long answers take: FN says, in milliseconds. Without one they come at once.
void pl_world_on_wait(struct pl_world *w, uint64_t (*fn)(void *user, const struct sld_http_call *call), void *user);
// Who answers questions for names, the same way.
void pl_world_on_dns(struct pl_world *w, void (*fn)(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out),
                     void *user);
// The file at PATH is TEXT (copied) from now on; absent: there is none.
void pl_world_file(struct pl_world *w, struct sld_str path, struct sld_str text);
void pl_world_destroy(struct pl_world *w);
