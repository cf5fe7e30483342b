// Names to addresses by one DNS server of the caller's choice, over TCP. All on the io thread.
#pragma once

#include "loop/loop.h"

struct sld_dns;
struct sld_dns_lookup;

enum { SLD_DNS_ADDRESSES_MAX = 1024 };

// SERVER is "host:port" ("[::1]:8600"; without a port 53). A host that is a name is looked up by
// the system's resolver when it is needed. SLD_INVALID: not of that form.
SLD_NODISCARD enum sld_rc sld_dns_create(struct sld_loop *io, struct sld_str server,
                                         struct sld_dns **out, struct sld_err *err);
// Ends all look-ups without a word. The loop has to turn once more before it can be destroyed. NULL
// is fine.
void sld_dns_destroy(struct sld_dns *d);

// Borrowed during the callback. ERR NULL: ADDRESSES, COUNT of them, sorted and distinct, at least
// one. Else SLD_NOT_FOUND: there is no such name, or it has no address; SLD_IO: the server cannot
// be asked.
struct sld_dns_answer {
    const struct sld_err *err;
    const struct sld_str *addresses;
    size_t count;
};
typedef void sld_dns_done(void *user, const struct sld_dns_answer *a);
// Asks for the IPv4 and IPv6 addresses of NAME (copied). DONE comes exactly once unless cancelled,
// never before this returns, and may start and cancel look-ups.
struct sld_dns_lookup *sld_dns_lookup(struct sld_dns *d, struct sld_str name, sld_dns_done *done,
                                      void *user);
// No DONE any more. NULL is fine.
void sld_dns_cancel(struct sld_dns_lookup *l);
