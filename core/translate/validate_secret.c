// Secrets: certificates and keys that cannot be read or do not fit keep the document from counting,
// so that the last pair that fitted stays. Whether a certificate is valid now depends on the time:
// that is secret.c's.
#include "translate/tls.h"
#include "translate/validate.h"

void tr_validate_secret(const struct sld_translate *t, const Gloo__Secret *s, struct sld_report *r)
{
    (void)t;
    if (s->kind_case != GLOO__SECRET__KIND_TLS)
        return;
    struct sld_arena a = {0};
    struct tr_cert facts = {0};
    tr_read_tls_secret(&a, s->tls, r, &facts);
    sld_arena_fini(&a);
}
