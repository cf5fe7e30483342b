// Secrets: what their certificates say, whether they can be used now, and the resources of SDS.
//
//   certs    parsing, which is slow; only when the secret changes
//   secrets  facts, which TLS settings read; also when the time changes one of them
//   out      what Envoys get; the only row that a rotation changes
#include "translate/tls.h"

#include <time.h>

#include "codec/x509.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

// A certificate that ends within this time gets a warning; a short-lived one, such as Vault issues and
// renews after two thirds, in the last fifth of its life.
enum { SOON_S = 14 * 86400, SOON_PART = 5 };

// ---- Reading certificates ----

static void fail(struct sld_report *r, enum sld_code code, const char *path,
                 const struct sld_err *err, const char *remedy)
{
    sld_report_add(r, SLD_ERROR, code, sld_str_c(path), "%s; %s", err->msg, remedy);
}

// Envoy refuses other keys.
static bool key_fits_envoy(const struct sld_cert_facts *f, struct sld_report *r)
{
    const char *want = NULL;
    if (sld_str_eq(f->key, SLD_STR("RSA")) && f->key_bits < 2048)
        want = "RSA keys need at least 2048 bits";
    else if (sld_str_eq(f->key, SLD_STR("EC")) && !sld_str_eq(f->curve, SLD_STR("prime256v1")) &&
             !sld_str_eq(f->curve, SLD_STR("secp384r1")) &&
             !sld_str_eq(f->curve, SLD_STR("secp521r1")))
        want = "EC keys need the curve P-256, P-384 or P-521";
    else if (sld_str_eq(f->key, SLD_STR("RSA-PSS")))
        want = "keys that are for RSA-PSS alone are not known to it; plain RSA keys sign with PSS, too";
    if (!want)
        return true;
    sld_report_add(r, SLD_ERROR, SLD_TLS_PEM, SLD_STR("tls.certChain"),
                   "Envoy does not take a key of %.*s%s%.*s with %d bits: %s; issue a certificate "
                   "with such a key",
                   SLD_FMT(f->key), f->curve.n ? " on " : "", SLD_FMT(f->curve), f->key_bits, want);
    return false;
}

static bool read_ocsp(const Gloo__TlsSecret *s, struct sld_report *r, struct tr_cert *out)
{
    struct sld_err err = {0};
    struct sld_str der = {(const char *)s->ocsp_staple.data, s->ocsp_staple.len};
    if (sld_ocsp_check(out->chain, der, &err) != SLD_OK) {
        fail(r, SLD_TLS_PEM, "tls.ocspStaple", &err,
             "store the answer of the issuer's OCSP service for this certificate, or remove it");
        return false;
    }
    out->has_ocsp = true;
    return true;
}

static bool read_cert(struct sld_arena *a, const Gloo__TlsSecret *s, struct sld_report *r,
                      struct tr_cert *out)
{
    struct sld_err err = {0};
    struct sld_cert_facts f = {0};
    if (sld_cert_read(a, sld_str_c(s->cert_chain), &f, &err) != SLD_OK) {
        fail(r, SLD_TLS_PEM, "tls.certChain", &err,
             "store the certificate chain as PEM text, the own certificate first");
        return false;
    }
    enum sld_rc rc = sld_cert_key_match(f.pem, sld_str_c(s->private_key), &err);
    if (rc != SLD_OK) {
        fail(r, rc == SLD_CONFLICT ? SLD_TLS_KEY_MISMATCH : SLD_TLS_PEM, "tls.privateKey", &err,
             rc == SLD_CONFLICT
                 ? "store the key and the chain of one pair, the own certificate first"
                 : "store an unencrypted RSA, EC or Ed25519 key as PEM text");
        return false;
    }
    if (!key_fits_envoy(&f, r))
        return false;
    out->has_cert = true;
    out->chain = f.pem;
    out->not_before = f.not_before;
    out->not_after = f.not_after;
    out->must_staple = f.must_staple;
    return !s->ocsp_staple.len || read_ocsp(s, r, out);
}

static bool read_ca(struct sld_arena *a, const Gloo__TlsSecret *s, struct sld_report *r,
                    struct tr_cert *out)
{
    struct sld_err err = {0};
    struct sld_cert_facts f = {0};
    if (sld_ca_read(a, sld_str_c(s->root_ca), &f, &err) != SLD_OK) {
        fail(r, SLD_TLS_PEM, "tls.rootCa", &err, "store the root certificates as PEM text");
        return false;
    }
    out->has_ca = true;
    out->ca = f.pem;
    out->ca_not_after = f.not_after;
    return true;
}

bool tr_read_tls_secret(struct sld_arena *a, const Gloo__TlsSecret *s, struct sld_report *r,
                        struct tr_cert *out)
{
    bool chain = s->cert_chain[0], key = s->private_key[0], ca = s->root_ca[0];
    if (!chain && !key && !ca) {
        sld_report_add(r, SLD_ERROR, SLD_TLS_PEM, SLD_STR("tls"),
                       "the secret is empty; set certChain and privateKey, or rootCa, or both");
        return false;
    }
    if (chain != key) {
        sld_report_add(r, SLD_ERROR, SLD_TLS_PEM,
                       chain ? SLD_STR("tls.privateKey") : SLD_STR("tls.certChain"),
                       "%s is missing; a certificate chain and its private key go together",
                       chain ? "the private key" : "the certificate chain");
        return false;
    }
    bool ok = !chain || read_cert(a, s, r, out);
    return (!ca || read_ca(a, s, r, out)) && ok;
}

static struct sld_hash hash_cert(const struct tr_cert *c)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, (uint64_t)c->has_cert | (uint64_t)c->has_ca << 1 |
                               (uint64_t)c->has_ocsp << 2 | (uint64_t)c->must_staple << 3);
    sld_hasher_add_u64(&h, (uint64_t)c->not_before);
    sld_hasher_add_u64(&h, (uint64_t)c->not_after);
    sld_hasher_add_u64(&h, (uint64_t)c->ca_not_after);
    struct sld_str texts[] = {c->chain, c->ca, c->broken};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        sld_hasher_add_u64(&h, texts[i].n);
        sld_hasher_add(&h, texts[i]);
    }
    return sld_hasher_done(&h);
}

static void validity_free(struct sld_obj *o)
{
    sld_xfree(o);
}

void tr_step_validity(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    const struct sld_object *o = in;
    const Gloo__Secret *s = sld_object_msg(o);
    struct sld_report r = {.arena = sld_ctx_scratch(ctx)};
    struct tr_cert c = {.has_cert = false};
    if (!o->ok || s->kind_case != GLOO__SECRET__KIND_TLS || !tr_read_tls_secret(r.arena, s->tls, &r, &c) || !c.has_cert)
        return;
    struct tr_validity *v = SLD_NEW(struct tr_validity);
    v->chain = sld_hash_bytes(c.chain);
    struct sld_hash times = {(uint64_t)c.not_before, (uint64_t)c.not_after};
    sld_obj_init(&v->obj, validity_free, sld_hash_mix(times, v->chain));
    v->not_before = c.not_before;
    v->not_after = c.not_after;
    sld_ctx_emit(ctx, key, v);
}

void tr_step_certs(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const Gloo__Secret *s = sld_object_msg(in);
    if (s->kind_case != GLOO__SECRET__KIND_TLS)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct tr_cert *c = tr_row_create(sizeof(*c));
    // A secret in force passed these checks, except when they are newer than its state on disk.
    struct sld_report r = {.arena = tr.arena};
    if (!tr_read_tls_secret(&c->row.arena, s->tls, &r, c)) {
        c->has_cert = c->has_ca = c->has_ocsp = false;
        c->broken = sld_arena_str(&c->row.arena, r.items[0].message);
    }
    tr_row_finish(&tr, &c->row, hash_cert(c), NULL);
    sld_ctx_emit(ctx, key, c);
}

// ---- Facts ----

static struct sld_str date(struct sld_arena *a, int64_t s)
{
    time_t at = (time_t)s;
    struct tm tm;
    char text[40];
    if (!gmtime_r(&at, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
        return sld_arena_fmt(a, "second %lld", (long long)s);
    return sld_arena_str(a, sld_str_c(text));
}

// What is wrong with the times of a certificate, "its certificate ..."; empty: nothing.
static struct sld_str out_of_time(struct tr *tr, struct sld_arena *a, int64_t now, int64_t from, int64_t to)
{
    if (now > to)
        return sld_arena_fmt(a, "its certificate expired on %.*s", SLD_FMT(date(tr->arena, to)));
    if (now < from)
        return sld_arena_fmt(a, "its certificate is not valid before %.*s", SLD_FMT(date(tr->arena, from)));
    return SLD_STR("");
}

static void tell_time(struct tr *tr, const struct tr_secret *s, struct sld_str why, bool in_service)
{
    sld_report_add(tr_report(tr, s->key), SLD_ERROR, SLD_TLS_EXPIRED, SLD_STR("tls.certChain"),
                   in_service ? "the %.*s; it stays in service, because nothing better is there; renew it"
                              : "the %.*s, so it is not sent to Envoy; renew it, or correct the clock",
                   SLD_FMT(sld_str_sub(why, 4, why.n)));
}

// Findings never tell how long is left: they would change with the time. IN_SERVICE: this very form was accepted
// while it was valid, so Envoys hold it; taking it away would close the port (design section 5).
static void judge_cert(struct tr *tr, const struct tr_cert *c, int64_t now, struct tr_secret *out, bool in_service)
{
    struct sld_report *r = tr_report(tr, out->key);
    struct sld_str path = SLD_STR("tls.certChain");
    struct sld_str why = out_of_time(tr, &out->row.arena, now, c->not_before, c->not_after);
    if (!in_service)
        out->why = why;
    out->usable = !out->why.n;
    if (why.n)
        tell_time(tr, out, why, in_service);
    else if (c->not_after - now < SOON_S && (c->not_after - now) * SOON_PART < c->not_after - c->not_before)
        sld_report_add(r, SLD_WARNING, SLD_TLS_EXPIRES_SOON, path,
                       "the certificate expires on %.*s; renew it",
                       SLD_FMT(date(tr->arena, c->not_after)));
}

// A root that ends takes away what it vouches for, not the service: only warnings.
static void judge_ca(struct tr *tr, const struct tr_cert *c, int64_t now,
                     const struct tr_secret *out)
{
    if (c->ca_not_after - now >= SOON_S)
        return;
    bool over = now > c->ca_not_after;
    sld_report_add(tr_report(tr, out->key), SLD_WARNING,
                   over ? SLD_TLS_EXPIRED : SLD_TLS_EXPIRES_SOON, SLD_STR("tls.rootCa"),
                   "a root certificate %s on %.*s; renew it", over ? "expired" : "expires",
                   SLD_FMT(date(tr->arena, c->ca_not_after)));
}

static void judge(struct tr *tr, const struct tr_cert *c, struct tr_secret *out, bool in_service)
{
    out->has_cert = c->has_cert;
    out->has_ca = c->has_ca;
    out->has_ocsp = c->has_ocsp;
    out->must_staple = c->must_staple;
    if (c->broken.n) {
        out->why = sld_arena_str(&out->row.arena, c->broken);
        sld_report_add(tr_report(tr, out->key), SLD_ERROR, SLD_TLS_PEM, SLD_STR("tls"), "%.*s",
                       SLD_FMT(c->broken));
        return;
    }
    out->usable = true;
    int64_t now = tr_now(tr->t, tr->ctx);
    if (!now)
        return;
    if (c->has_cert)
        judge_cert(tr, c, now, out, in_service);
    if (c->has_ca)
        judge_ca(tr, c, now, out);
}

static struct sld_hash hash_secret(const struct tr_secret *s)
{
    struct sld_hash h = sld_hash_mix(sld_hash_bytes(s->key), sld_hash_bytes(s->why));
    uint64_t flags = (uint64_t)s->kind | (uint64_t)s->usable << 8 | (uint64_t)s->has_cert << 9 |
                     (uint64_t)s->has_ca << 10 | (uint64_t)s->has_ocsp << 11 |
                     (uint64_t)s->must_staple << 12 | (uint64_t)s->deleted << 13;
    return sld_hash_mix(h, (struct sld_hash){flags, 1});
}

// The present document lost to the accepted form, because it is not valid now.
static void tell_present(struct tr *tr, const struct tr_secret *s, sld_id key)
{
    const struct tr_validity *v = sld_ctx_get(tr->ctx, tr->t->validity, key);
    struct sld_str why = v ? out_of_time(tr, tr->arena, tr_now(tr->t, tr->ctx), v->not_before, v->not_after) : SLD_STR("");
    if (why.n)
        tell_time(tr, s, why, false);
}

void tr_step_secrets(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct sld_object *o = in;
    const Gloo__Secret *s = sld_object_msg(o);
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct tr_secret *row = tr_row_create(sizeof(*row));
    struct sld_arena *a = &row->row.arena;
    row->key = sld_arena_str(a, sld_flow_key_str(tr.t->flow, key));
    row->ns = sld_arena_str(a, o->id.ns);
    row->name = sld_arena_str(a, o->id.name);
    row->why = SLD_STR("");
    if (s->kind_case == GLOO__SECRET__KIND_HEADER)
        row->kind = TR_SECRET_HEADER;
    const struct tr_cert *c =
        s->kind_case == GLOO__SECRET__KIND_TLS ? sld_ctx_get(ctx, tr.t->certs, key) : NULL;
    const struct sld_object *raw = sld_ctx_get(ctx, tr.t->raw[SLD_KIND_SECRET], key);
    const struct sld_object *accepted = sld_ctx_get(ctx, tr.t->accepted[SLD_KIND_SECRET], key);
    if (c) {
        row->kind = TR_SECRET_TLS;
        judge(&tr, c, row, accepted && sld_hash_eq(accepted->obj.hash, o->obj.hash));
    }
    row->deleted = !raw;
    if (row->deleted)
        sld_report_add(tr_report(&tr, row->key), SLD_WARNING, SLD_REF_SECRET, SLD_STR(""),
                       "the secret was deleted; its last form stays in service until nothing refers to it any more");
    else if (raw->ok && !sld_hash_eq(raw->obj.hash, o->obj.hash))
        tell_present(&tr, row, key);
    tr_row_finish(&tr, &row->row, hash_secret(row), NULL);
    sld_ctx_emit(ctx, key, row);
}

// ---- Resources ----

static Env__Core__DataSource *text_source(struct sld_arena *a, char *text)
{
    Env__Core__DataSource *d = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
    d->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    d->inline_string = text;
    return d;
}

static void emit(struct tr *tr, Env__TransportSocketsTls__Secret *m, struct sld_str name,
                 bool secret, struct sld_str owner)
{
    m->name = sld_arena_cstr(tr->arena, name);
    struct sld_out proto = {.type = SLD_OUT_SECRET, .name = name, .secret = secret};
    sld_id id = sld_flow_key(tr->t->flow, tr_out_key(tr->arena, SLD_OUT_SECRET, SLD_STR(""), name));
    tr_emit_out(tr, id, &m->base, &proto, tr_report(tr, owner));
}

static void emit_ca(struct tr *tr, const struct tr_secret *s, const struct tr_cert *c)
{
    struct sld_arena *a = tr->arena;
    Env__TransportSocketsTls__Secret *m =
        SLD_MSG(a, Env__TransportSocketsTls__Secret, env__transport_sockets_tls__secret);
    m->type_case = ENV__TRANSPORT_SOCKETS_TLS__SECRET__TYPE_VALIDATION_CONTEXT;
    m->validation_context = SLD_MSG(a, Env__TransportSocketsTls__CertificateValidationContext,
                                    env__transport_sockets_tls__certificate_validation_context);
    m->validation_context->trusted_ca = text_source(a, sld_arena_cstr(a, c->ca));
    emit(tr, m, tr_sds_ca_name(a, s->ns, s->name), false, s->key);
}

static void emit_cert(struct tr *tr, const struct tr_secret *s, const struct tr_cert *c,
                      const Gloo__TlsSecret *tls)
{
    struct sld_arena *a = tr->arena;
    Env__TransportSocketsTls__Secret *m =
        SLD_MSG(a, Env__TransportSocketsTls__Secret, env__transport_sockets_tls__secret);
    Env__TransportSocketsTls__TlsCertificate *t = SLD_MSG(
        a, Env__TransportSocketsTls__TlsCertificate, env__transport_sockets_tls__tls_certificate);
    m->type_case = ENV__TRANSPORT_SOCKETS_TLS__SECRET__TYPE_TLS_CERTIFICATE;
    m->tls_certificate = t;
    t->certificate_chain = text_source(a, sld_arena_cstr(a, c->chain));
    t->private_key = text_source(a, tls->private_key);
    if (c->has_ocsp) {
        t->ocsp_staple = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
        t->ocsp_staple->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
        t->ocsp_staple->inline_bytes = tls->ocsp_staple;
    }
    emit(tr, m, tr_sds_cert_name(a, s->ns, s->name), true, s->key);
}

void tr_step_out_secrets(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_secret *s = in;
    if (s->kind != TR_SECRET_TLS)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_cert *c = sld_ctx_get(ctx, tr.t->certs, key);
    const struct sld_object *o = sld_ctx_get(ctx, tr.t->obj[SLD_KIND_SECRET], key);
    if (!c || !o)
        return;
    tr_use(&tr, s->key);
    if (c->has_ca)
        emit_ca(&tr, s, c);
    if (c->has_cert && s->usable)
        emit_cert(&tr, s, c, ((const Gloo__Secret *)sld_object_msg(o))->tls);
}
