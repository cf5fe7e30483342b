// Writes statuses to Consul: into the values of objects, as Gloo does, or beside them, below
// "<root>-status/", which no watch of configuration sees. Of several Solders one writes, who holds a
// lock; it writes what differs from what is there, at most a hundred a second, the newest of each
// object. All on the io thread. Private to the room.
#pragma once

#include "model/model.h"
#include "source/consul/client.h"
#include "source/source.h"

struct sld_consul_status;

// PATH: "<root>-status" or a key below; MESSAGE absent: it is over. Never that the source is down.
typedef void sld_consul_status_problem(void *user, struct sld_str path, enum sld_code code,
                                       struct sld_str message);

// C is referenced by the caller, and outlives it. ROOT is copied; SETTINGS are borrowed.
struct sld_consul_status *sld_consul_status_create(struct sld_loop *io, struct sld_consul *c,
                                                   struct sld_str root,
                                                   const struct Gloo__Settings *settings,
                                                   sld_consul_status_problem *on_problem,
                                                   void *user);
// Gives the lock back, in the background; what was not written is not any more. NULL is fine. Not
// from within its event.
void sld_consul_status_destroy(struct sld_consul_status *w);
void sld_consul_status_configure(struct sld_consul_status *w,
                                 const struct Gloo__Settings *settings);

// As of sld_source_ops.status; KEY is the object's below the root.
void sld_consul_status_set(struct sld_consul_status *w, struct sld_str key,
                           struct sld_status *status, struct sld_str reporter_ns);
// The text of KEY, below the root, until sld_consul_status_let, which must come before the end: who knows many keys
// needs no copies of his own. Not twice.
const char *sld_consul_status_keep(struct sld_consul_status *w, struct sld_str key);
void sld_consul_status_let(struct sld_consul_status *w, struct sld_str key);
// VALUE is what KEY says now, at index MODIFY_INDEX. False when it says what was seen of it last, or differs from that
// only in statuses.
bool sld_consul_status_seen(struct sld_consul_status *w, struct sld_str key, struct sld_str value,
                            uint64_t modify_index);
// KEY is really gone.
void sld_consul_status_unseen(struct sld_consul_status *w, struct sld_str key);
// Where statuses are kept unless settings say otherwise: RECORDED, if that is "value" or "beside"; else
// in the values if one has a status, or if Gloo wrote Proxies or discovered Upstreams. To be recorded; a
// literal. All keys have been seen.
const char *sld_consul_status_place(const struct sld_consul_status *w, struct sld_str recorded);
// From now on statuses are written; RECORDED: as above. Once.
void sld_consul_status_begin(struct sld_consul_status *w, struct sld_str recorded);

// Which of several Solders writes. False: none does, or it is not known yet.
bool sld_consul_status_writer(const struct sld_consul_status *w, struct sld_source_writer *out);

// What a test may shorten, before begin; zero: as it is.
void sld_consul_status_lock_times(struct sld_consul_status *w, uint64_t ttl_ms,
                                  uint64_t lock_delay_ms);
