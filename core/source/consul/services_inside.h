// Private to the discovery of services: what its files share. All on the io thread.
//
//   svc ──▶ data centers ──▶ catalog watch ──▶ entries (service × data center)
//    │          │                                  │ of wanted services
//    │          └─ sweeps, watches of checks ──▶ parts: a watch of their own, or asked when
//    something │                                             │    tells that they changed (cold)
//    └──▶ names (services) ◀── sets of instances ──┘
#pragma once

#include "source/consul/client.h"
#include "source/consul/services_read.h"

#include "settings.pb-c.h"
#include "settings_store.pb-c.h"

#define SVC_MS UINT64_C(1000000)

enum {
    SVC_WATCHES_MAX = 100, // parts with a watch of their own
    SVC_WATCHES_LEFT = 4,  // of the agent's, for others to come
    SVC_CALLS_MAX = 12,    // questions about cold parts at a time
    SVC_HOWS = 6,
};

struct svc_dc;
struct svc_entry;
struct svc_part;

struct svc_config {
    Gloo__ConsulServiceOptions__Health health;
    enum sld_consul_consistency consistency; // of catalogs and checks
    uint64_t drain_ms, dns_ms, wait_ms;
    struct sld_str dns;  // "host:port"
    struct sld_str *dcs; // allowed ones; none: all
    size_t dc_count;
    struct sld_hash hash; // of all above
    struct sld_arena arena;
};

// A host of instances that is a name. (services_host.c)
struct svc_host {
    struct sld_str name; // own
    struct svc *svc;
    unsigned refs;
    struct sld_dns_lookup *lookup;
    struct sld_str *addresses; // in the arena: the last good ones
    size_t count;
    struct sld_arena arena;
    bool failing;
};

// Whether the token may see a service is asked before its disappearance counts. (services_trust.c)
struct svc_doubt {
    struct sld_list link; // of svc->doubts; empty: nothing is asked
    bool sent;
    bool allowed; // the answer says that the service may be seen
};
enum svc_verdict { SVC_SEEN, SVC_DENIED, SVC_UNKNOWN };

// A service, in all data centers.
struct svc_name {
    struct svc *svc;
    struct sld_str text;         // own
    struct svc_entry *entries;   // one for each data center
    unsigned asks[SVC_HOWS];     // how often it is wanted, by how
    unsigned wanted;             // their sum
    struct sld_service *service; // as told; NULL: not told
    struct sld_hash told_set;    // zero: not told
    bool told_past;              // the same: it is as the last process knew it
    bool denied;                 // a problem was told: the token may not see it somewhere
    bool unseen;                 // the same: it has no instance that may be seen
    bool past;                   // what the last process kept is known of it
};

// A service in the catalog of a data center.
struct svc_entry {
    struct svc_name *name;
    struct svc_dc *dc;
    struct svc_entry *next; // of the name
    struct sld_list link;   // of the data center
    struct sld_str *tags;   // own, with what they point to
    size_t tag_count;
    struct sld_hash hash; // of the tags
    unsigned seen;        // the catalog answer that had it last
    uint64_t gone_ns;     // 0, or when it is certain that the catalog has it no more
    struct svc_doubt doubt;
    bool denied;                // the token may not see it
    struct svc_part *part;      // while the service is wanted
    struct sld_instances *past; // of all data centers, from the last process; NULL: none
};

enum svc_due { SVC_IDLE, SVC_PROBE, SVC_FETCH };

// An instance that ends.
struct svc_drain {
    struct sld_hash who;
    uint64_t until_ns;
};

// The instances of a wanted service in a data center.
struct svc_part {
    struct svc_entry *entry;
    struct sld_consul_watch *watch; // NULL: it is cold
    struct sld_list link;           // svc->watched by time of change, or svc->cold
    struct sld_list queue;          // fetches or probes of the data center
    enum svc_due due;               // what it is queued for, or what CALL does
    bool again;                     // something changed while CALL runs
    struct sld_consul_call *call;
    uint64_t index;      // of the last answer
    uint64_t changed_ns; // when its set changed last
    uint64_t timed_ns;   // when something is to be done; 0: nothing
    struct sld_list timed;
    bool known, failing, doubtful; // doubtful: an empty answer is not believed yet
    size_t registered;             // instances in the last answer that counts
    struct sld_instances *set;     // own reference; NULL until known
    bool past;                     // SET is what the last process knew
    struct sld_blob *body; // the last answer that counts, where it may have to be read again
    struct svc_drain *drains;
    size_t drain_count;
    struct svc_host **hosts;
    size_t host_count;
};

// A watch of all checks in some state. (services_check.c)
struct svc_checks {
    struct svc_dc *dc;
    const char *state;
    struct sld_consul_watch *watch; // NULL: nobody needs it
    struct sld_timer *rest;         // runs while the watch is paused
    struct sld_map seen;            // "node\ncheck\nservice" -> the answer that had it last
    uintptr_t answers;
};

struct svc_dc {
    struct svc *svc;
    struct sld_list link;
    struct sld_str name; // own
    struct sld_list entries;
    struct sld_consul_watch *catalog;
    unsigned seen; // catalog answers
    bool known, failing, told_failing;
    char *words;        // why it fails
    uint64_t reborn_ns; // when the catalog's index went back; 0: it never did
    size_t listed;      // services in the last catalog answer
    unsigned missing;   // polls that did not list it
    struct svc_checks critical, warning;
    // Questions about cold parts.
    struct sld_list fetches, probes;
    struct sld_timer *rest; // runs after a failure: nobody asks meanwhile
    bool resting;
    unsigned failures;
    // Sweeps: all cold parts are probed when the catalog moved.
    bool sweep_due;
    size_t sweeping; // probes left
    uint64_t sweep_ns, next_sweep_ns;
    struct sld_timer *sweep, *linger;
};

struct svc {
    struct sld_discovery base;
    struct sld_loop *loop;
    struct sld_consul *consul;
    struct sld_discovery_events ev;
    struct svc_config cfg;
    struct sld_list dcs;
    size_t dc_count;
    bool dcs_known, synced;
    bool marked;  // it is known who wants what of the services that were told
    bool quiet;   // services and instances that go are not told of
    bool closing; // nothing is told at all
    struct sld_consul_call *dc_call;
    struct sld_timer *dc_timer, *past_timer;
    unsigned dc_failures;
    char *dc_words;
    bool told_down, told_dcs, told_dns, told_config;
    struct sld_set names;
    size_t unknown; // parts that are neither known nor failing
    struct sld_list watched, cold, timed;
    size_t watches, colds, calls;
    struct sld_timer *tick, *patrol;
    struct sld_list doubts;
    struct sld_consul_call *doubt_call;
    struct sld_timer *doubt_timer;
    struct sld_dns *dns;
    struct sld_set hosts;
    struct sld_timer *dns_timer;
};

// ---- services.c ----

// Tells of the service, or of its instances, if that is news.
void svc_tell_service(struct svc_name *n);
void svc_tell_instances(struct svc_name *n);
// All of that, when a catalog became known, or that it cannot be for now.
void svc_tell_all(struct svc *s);
// A part became known or failing, or a catalog did: the first time that all are, it is told.
void svc_check_synced(struct svc *s);
// A data center's catalog fails, or does no longer.
void svc_tell_problems(struct svc *s);
// What is the matter with WHAT; MESSAGE absent: nothing any more.
void svc_problem(struct svc *s, struct sld_str what, enum sld_code code, struct sld_str message);
struct svc_name *svc_name_get(struct svc *s, struct sld_str text); // made when missing
// Forgets N if nothing holds it any more.
void svc_name_drop(struct svc_name *n);
// How the service is to be asked: the strictest of what is wanted.
enum sld_consul_consistency svc_consistency(const struct svc_name *n);
bool svc_cached(const struct svc_name *n);

// ---- services_dc.c ----

struct svc_dc *svc_dc_create(struct svc *s, struct sld_str name);
void svc_dc_destroy(struct svc_dc *dc);
void svc_dc_reread(struct svc_dc *dc);
// The service was in the catalog when the last process ended, with these instances.
void svc_dc_restore(struct svc_dc *dc, const struct sld_service *s, struct sld_instances *past);
// What the last process knew is no longer needed, when it is known what there is and who wants it.
void svc_dc_settle(struct svc_dc *dc);
// The name is wanted, or not any more: parts come or go.
void svc_want_changed(struct svc_name *n);
// The token may or may not see the entry's service, which is missing or has no instances any more.
void svc_entry_verdict(struct svc_entry *e, enum svc_verdict v);
// Until then no disappearance in DC is believed, because Consul lost what it knew; 0: it is.
uint64_t svc_dc_holds(const struct svc_dc *dc);
// A cold part of DC was probed. (services_part.c tells)
void svc_dc_probed(struct svc_dc *dc);

// ---- services_check.c ----

void svc_checks_init(struct svc_checks *c, struct svc_dc *dc, const char *state);
void svc_checks_fini(struct svc_checks *c);
// Watches checks while there are cold parts.
void svc_checks_update(struct svc_checks *c);

// ---- services_part.c ----

struct svc_part *svc_part_create(struct svc_entry *e);
void svc_part_destroy(struct svc_part *p);
// Something says that a cold part changed, or may have.
void svc_part_due(struct svc_part *p, enum svc_due due);
// Asks what is queued, as far as there is room.
void svc_pump(struct svc *s);
void svc_on_rest(void *dc);
// The set is made again of the last answer: an address or a setting changed.
void svc_part_rebuild(struct svc_part *p);
// Its empty answer counts, or does not.
void svc_part_believe(struct svc_part *p, bool believe);
// The way of asking changed.
void svc_part_restart(struct svc_part *p);
void svc_on_tick(void *user);
// Calls svc_on_tick by then.
void svc_time(struct svc_part *p, uint64_t at_ns);

// ---- services_trust.c ----

void svc_doubt_ask(struct svc_entry *e);
void svc_doubt_drop(struct svc_entry *e);
void svc_on_doubts(void *s); // of the timer
void svc_trust_fini(struct svc *s);

// ---- services_host.c ----

// The host called NAME, counted; its addresses may not be known yet. NULL: there is no resolver.
struct svc_host *svc_host_get(struct svc *s, struct sld_str name);
void svc_host_release(struct svc_host *h);
void svc_on_hosts(void *s); // of the timer
void svc_hosts_configure(struct svc *s);
void svc_hosts_fini(struct svc *s);
