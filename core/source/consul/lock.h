// A lock in Consul: one of several who want it has it, for as long as it renews its session.
//
//   session ──▶ acquire ──▶ HELD ──renew, each third of the TTL──▶ HELD
//      ▲           │ no        │ session gone, lock gone, or not renewed for the TTL
//      └───────────┴── watch ◀─┘
//
// Who was not told of its end stops by itself before Consul gives the lock to somebody else. All on
// the io thread. Private to the room.
#pragma once

#include "source/consul/client.h"

struct consul_lock;

struct consul_lock_options {
    struct sld_str key;   // copied
    uint64_t ttl_ms;      // 0: 15 s; Consul takes 10 s or more
    uint64_t lock_delay_ms; // how long nobody gets the lock after its holder vanished; 0: 5 s
    // The lock is ours from now on, or is not any more.
    void (*on_change)(void *user, bool held);
    // Nobody can have it, or we cannot: why; absent: that is over.
    void (*on_problem)(void *user, struct sld_str message);
    void *user;
};
// Wants the lock from the next turn of the loop on. C is referenced by the caller, and outlives it.
struct consul_lock *consul_lock_create(struct sld_loop *io, struct sld_consul *c,
                                       const struct consul_lock_options *o);
// Gives the lock back, in the background. NULL is fine. Not from within its events.
void consul_lock_destroy(struct consul_lock *l);
// The session that holds the lock, for transactions; absent while it is not ours.
struct sld_str consul_lock_session(const struct consul_lock *l);
struct sld_str consul_lock_key(const struct consul_lock *l);
// Who has it, for people, as the watch saw it last: "host (pid 4711)"; absent: nobody. Valid until the
// next turn of the loop.
struct sld_str consul_lock_holder(const struct consul_lock *l);
// Consul said that the lock is not ours: it is looked at again, and until then not held.
void consul_lock_doubt(struct consul_lock *l);
