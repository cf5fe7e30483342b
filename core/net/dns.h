// What DNS knows of names: asked of one server of the caller's choice, over TCP, or of the system's. All on the thread of the loop.
#pragma once

#include "loop/loop.h"

struct sld_dns;
struct sld_dns_lookup;

enum { SLD_DNS_ADDRESSES_MAX = 1024 }; // the same of records

// SERVER is "host:port" ("[::1]:8600"; without a port 53). A host that is a name is looked up by
// the system's resolver when it is needed. SLD_INVALID: not of that form.
SLD_NODISCARD enum sld_rc sld_dns_create(struct sld_loop *io, struct sld_str server,
                                         struct sld_dns **out, struct sld_err *err);
// Asks as the system does: the servers of resolv.conf, and for addresses the file of hosts first.
SLD_NODISCARD enum sld_rc sld_dns_create_system(struct sld_loop *io, struct sld_dns **out, struct sld_err *err);
// Ends all look-ups without a word. The loop has to turn once more before it can be destroyed. NULL
// is fine.
void sld_dns_destroy(struct sld_dns *d);

// Borrowed during the callback. ERR NULL: ADDRESSES, COUNT of them, sorted and distinct, at least
// one. Else SLD_NOT_FOUND: there is no such name, or it has no address; SLD_IO: the server cannot
// be asked, or its answer not be read.
struct sld_dns_record {
    struct sld_str text; // of SRV the target, of TXT its text
    uint16_t priority, weight, port; // of SRV
};
struct sld_dns_answer {
    const struct sld_err *err;
    const struct sld_str *addresses;
    size_t count;
    // Of questions for records, instead: at least one, in order; SRV by priority, then the heavier ones first.
    const struct sld_dns_record *records;
    size_t record_count;
};
typedef void sld_dns_done(void *user, const struct sld_dns_answer *a);
// Asks for the IPv4 and IPv6 addresses of NAME (copied). DONE comes exactly once unless cancelled,
// never before this returns, and may start and cancel look-ups.
struct sld_dns_lookup *sld_dns_lookup(struct sld_dns *d, struct sld_str name, sld_dns_done *done,
                                      void *user);
// What is asked for.
enum sld_dns_type { SLD_DNS_ADDRESSES, SLD_DNS_A, SLD_DNS_AAAA, SLD_DNS_SRV, SLD_DNS_TXT };
// The same for what is of TYPE.
struct sld_dns_lookup *sld_dns_ask(struct sld_dns *d, enum sld_dns_type type, struct sld_str name, sld_dns_done *done, void *user);
// No DONE any more. NULL is fine.
void sld_dns_cancel(struct sld_dns_lookup *l);
