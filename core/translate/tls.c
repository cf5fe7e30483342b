// TLS contexts, towards clients and towards upstreams (gloo-compat 1.10, 3.8). Certificates always
// come by SDS, also those in files of the Envoy's machine: Envoy reads a file again only when SDS
// delivered its name.
#include "translate/tls.h"

#include "codec/text.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

typedef Env__TransportSocketsTls__CommonTlsContext common_tls;

// ---- Where certificates come from ----

static bool warn_missing(struct tr *tr)
{
    const Gloo__Settings *s = tr_settings(tr);
    const Gloo__GatewayOptions__ValidationOptions *v = s->gateway ? s->gateway->validation : NULL;
    return v && v->warn_missing_tls_secret && v->warn_missing_tls_secret->value;
}

// Which secret a configuration means.
struct wanted {
    struct sld_str ns, name;
    struct sld_str field; // that says it: "secretRef"
};

static struct wanted by_ref(const Gloo__ResourceRef *ref, struct sld_str owner_ns)
{
    return (struct wanted){tr_ref_ns(ref, owner_ns), sld_str_c(ref->name), SLD_STR("secretRef")};
}

// The same certificate for everybody who asks for the same.
static struct wanted by_pki(struct tr *tr, const Gloo__VaultPki *p)
{
    return (struct wanted){tr_write_ns(tr), sld_store_ref_of_pki(tr->arena, p), SLD_STR("vaultPki")};
}

static void missing_secret(struct tr *tr, const struct wanted *w, struct sld_report *r)
{
    if (tr_awaited(tr, w->ns, w->name)) {
        sld_report_add(r, SLD_WARNING, SLD_SECRET_AWAITED, w->field,
                       "TLS secret %.*s has not been read yet: its store has not answered; see "
                       "solder get secrets and /healthz",
                       SLD_FMT(tr_ref_text(tr->arena, w->ns, w->name)));
        return;
    }
    sld_report_add(r, warn_missing(tr) ? SLD_WARNING : SLD_ERROR, SLD_REF_SECRET, w->field,
                   "TLS secret %.*s not found; %s", SLD_FMT(tr_ref_text(tr->arena, w->ns, w->name)),
                   tr_mend_ref(tr, SLD_KIND_SECRET, w->ns, w->name));
}

static void wrong_secret(struct tr *tr, struct sld_report *r, const struct wanted *w, const char *problem)
{
    sld_report_add(r, SLD_ERROR, SLD_TLS_SECRET_KIND, w->field, "secret %.*s %s",
                   SLD_FMT(tr_ref_text(tr->arena, w->ns, w->name)), problem);
}

// The facts of a TLS secret, or NULL with a finding. CERT: its certificate is wanted when it has
// one.
static const struct tr_secret *find_secret(struct tr *tr, const struct wanted *w, bool cert,
                                           struct sld_report *r, bool *missing)
{
    const struct tr_secret *s = tr_secret(tr, w->ns, w->name);
    if (!s) {
        // Envoys that hold it keep it, and all else of the listener does not wait for it.
        *missing = true;
        missing_secret(tr, w, r);
        return tr_remembered(tr, w->ns, w->name);
    }
    if (s->kind != TR_SECRET_TLS) {
        wrong_secret(
            tr, r, w,
            "is not a TLS secret; refer to one with a certificate chain and its private key");
        return NULL;
    }
    struct sld_str text = tr_ref_text(tr->arena, w->ns, w->name);
    if (!s->usable && (cert || !s->has_ca)) {
        *missing = true;
        sld_report_add(r, warn_missing(tr) ? SLD_WARNING : SLD_ERROR, SLD_TLS_EXPIRED, w->field,
                       "TLS secret %.*s cannot be used: %.*s; renew it", SLD_FMT(text),
                       SLD_FMT(s->why));
        return NULL;
    }
    if (s->deleted)
        sld_report_add(r, SLD_WARNING, SLD_REF_SECRET, w->field,
                       "TLS secret %.*s was deleted; its last form stays in service; create it again, or change the reference",
                       SLD_FMT(text));
    return s;
}

static void no_ca_for_names(struct sld_report *r)
{
    sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("verifySubjectAltName"),
                   "names can only be verified with a root certificate; add rootCa, or remove "
                   "verifySubjectAltName");
}

static void sds_not_served(struct sld_report *r)
{
    sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("sds"),
                   "this version does not serve sds, so nothing is sent or taken without TLS "
                   "instead; use secretRef or sslFiles");
}

// ---- Parts of contexts ----

static Env__TransportSocketsTls__TlsParameters *parameters(struct sld_arena *a,
                                                           const Gloo__SslParameters *p)
{
    Env__TransportSocketsTls__TlsParameters *out = SLD_MSG(
        a, Env__TransportSocketsTls__TlsParameters, env__transport_sockets_tls__tls_parameters);
    // The numbers of the versions are Envoy's.
    out->tls_minimum_protocol_version =
        (Env__TransportSocketsTls__TlsParameters__TlsProtocol)p->minimum_protocol_version;
    out->tls_maximum_protocol_version =
        (Env__TransportSocketsTls__TlsParameters__TlsProtocol)p->maximum_protocol_version;
    out->cipher_suites = p->cipher_suites;
    out->n_cipher_suites = p->n_cipher_suites;
    out->ecdh_curves = p->ecdh_curves;
    out->n_ecdh_curves = p->n_ecdh_curves;
    return out;
}

static Env__TransportSocketsTls__SdsSecretConfig *sds(struct tr *tr, struct sld_str name,
                                                      struct tr_needs *needs)
{
    Env__TransportSocketsTls__SdsSecretConfig *s =
        SLD_MSG(tr->arena, Env__TransportSocketsTls__SdsSecretConfig,
                env__transport_sockets_tls__sds_secret_config);
    s->name = sld_arena_cstr(tr->arena, name);
    s->sds_config = tr_ads(tr->arena);
    tr_needs_add(tr, needs, SLD_OUT_SECRET, name);
    return s;
}

// Envoy asks for the kind of each name; its form tells it.
static Env__TransportSocketsTls__SubjectAltNameMatcher__SanType san_type(struct sld_str name)
{
    if (sld_is_ip(name, NULL))
        return ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__IP_ADDRESS;
    if (sld_str_index(name, ':') >= 0)
        return ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__URI;
    if (sld_str_index(name, '@') >= 0)
        return ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__EMAIL;
    return ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__DNS;
}

static void add_name(struct sld_arena *a, Env__TransportSocketsTls__CertificateValidationContext *v,
                     char *name)
{
    Env__TransportSocketsTls__SubjectAltNameMatcher *m =
        SLD_MSG(a, Env__TransportSocketsTls__SubjectAltNameMatcher,
                env__transport_sockets_tls__subject_alt_name_matcher);
    m->san_type = san_type(sld_str_c(name));
    m->matcher = SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    m->matcher->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
    m->matcher->exact = name;
    SLD_PUSH(a, v->match_typed_subject_alt_names, v->n_match_typed_subject_alt_names, m);
}

static void validation(struct tr *tr, common_tls *c, struct sld_str ca, char *const *names,
                       size_t n, struct tr_needs *needs)
{
    struct sld_arena *a = tr->arena;
    Env__TransportSocketsTls__SdsSecretConfig *source = sds(tr, ca, needs);
    if (!n) {
        c->validation_context_type_case =
            ENV__TRANSPORT_SOCKETS_TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_VALIDATION_CONTEXT_SDS_SECRET_CONFIG;
        c->validation_context_sds_secret_config = source;
        return;
    }
    Env__TransportSocketsTls__CommonTlsContext__CombinedCertificateValidationContext *both = SLD_MSG(
        a, Env__TransportSocketsTls__CommonTlsContext__CombinedCertificateValidationContext,
        env__transport_sockets_tls__common_tls_context__combined_certificate_validation_context);
    both->validation_context_sds_secret_config = source;
    both->default_validation_context =
        SLD_MSG(a, Env__TransportSocketsTls__CertificateValidationContext,
                env__transport_sockets_tls__certificate_validation_context);
    for (size_t i = 0; i < n; i++)
        add_name(a, both->default_validation_context, names[i]);
    c->validation_context_type_case =
        ENV__TRANSPORT_SOCKETS_TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT;
    c->combined_validation_context = both;
}

static common_tls *common(struct tr *tr, const struct tr_tls_source *s, const char *side,
                          const Gloo__SslParameters *p, char *const *names, size_t n,
                          struct tr_needs *needs)
{
    struct sld_arena *a = tr->arena;
    common_tls *c = SLD_MSG(a, Env__TransportSocketsTls__CommonTlsContext,
                            env__transport_sockets_tls__common_tls_context);
    if (p)
        c->tls_params = parameters(a, p);
    struct sld_str cert = s->cert, ca = s->ca;
    if (s->files && cert.p)
        cert = tr_tls_files(tr, side, s->files, false);
    if (s->files && ca.p)
        ca = tr_tls_files(tr, side, s->files, true);
    if (cert.p)
        SLD_PUSH(a, c->tls_certificate_sds_secret_configs, c->n_tls_certificate_sds_secret_configs,
                 sds(tr, cert, needs));
    if (ca.p)
        validation(tr, c, ca, names, n, needs);
    return c;
}

static Env__Core__TransportSocket *socket_of(struct sld_arena *a, const ProtobufCMessage *context)
{
    Env__Core__TransportSocket *s =
        SLD_MSG(a, Env__Core__TransportSocket, env__core__transport_socket);
    s->name = sld_arena_cstr(a, SLD_STR("envoy.transport_sockets.tls"));
    s->config_type_case = ENV__CORE__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
    s->typed_config = sld_msg_any(a, context);
    return s;
}

// ---- Towards clients ----

static bool one_way(const Google__Protobuf__BoolValue *v)
{
    return v && v->value;
}

static bool check_ocsp(const Gloo__SslConfig *c, bool has_ocsp, bool must_staple,
                       struct sld_report *r)
{
    bool demanded = c->ocsp_staple_policy == GLOO__SSL_CONFIG__OCSP_STAPLE_POLICY__MUST_STAPLE;
    if (has_ocsp || (!demanded && !must_staple))
        return true;
    sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG,
                   demanded ? SLD_STR("ocspStaplePolicy") : SLD_STR("secretRef"),
                   "%s an OCSP answer, and there is none to staple; add ocspStaple%s",
                   demanded ? "MUST_STAPLE needs" : "the certificate demands",
                   demanded ? ", or choose another policy" : "");
    return false;
}

static bool downstream_secret(struct tr *tr, const Gloo__SslConfig *c, const struct wanted *w,
                              struct sld_report *r, struct tr_tls_source *out, bool *missing)
{
    const struct tr_secret *s = find_secret(tr, w, true, r, missing);
    if (!s)
        return false;
    if (!s->has_cert) {
        wrong_secret(
            tr, r, w,
            "has root certificates only; a gateway needs a certificate chain and its private key");
        return false;
    }
    if (!check_ocsp(c, s->has_ocsp, s->must_staple, r))
        return false;
    out->remembered = *missing;
    out->cert = tr_sds_cert_name(tr->arena, s->ns, s->name);
    if (s->has_ca)
        out->ca = tr_sds_ca_name(tr->arena, s->ns, s->name);
    return true;
}

static bool downstream_files(const Gloo__SslConfig *c, struct sld_report *r,
                             struct tr_tls_source *out)
{
    const Gloo__SSLFiles *f = c->ssl_files;
    if (!f->tls_cert[0] || !f->tls_key[0]) {
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("sslFiles"),
                       "a gateway needs tlsCert and tlsKey; set both");
        return false;
    }
    if (!check_ocsp(c, f->ocsp_staple[0] != 0, false, r))
        return false;
    out->files = f;
    out->cert = SLD_STR("");
    if (f->root_ca[0])
        out->ca = SLD_STR("");
    return true;
}

static bool downstream_resolve(struct tr *tr, const Gloo__SslConfig *c, struct sld_str owner_ns,
                               struct sld_report *r, struct tr_tls_source *out, bool *missing)
{
    bool ok = false;
    struct wanted w;
    switch (c->ssl_secrets_case) {
    case GLOO__SSL_CONFIG__SSL_SECRETS_SECRET_REF:
        w = by_ref(c->secret_ref, owner_ns);
        ok = downstream_secret(tr, c, &w, r, out, missing);
        break;
    case GLOO__SSL_CONFIG__SSL_SECRETS_VAULT_PKI:
        w = by_pki(tr, c->vault_pki);
        ok = downstream_secret(tr, c, &w, r, out, missing);
        break;
    case GLOO__SSL_CONFIG__SSL_SECRETS_SSL_FILES:
        ok = downstream_files(c, r, out);
        break;
    case GLOO__SSL_CONFIG__SSL_SECRETS_SDS:
        sds_not_served(r);
        break;
    default:
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR(""),
                       "there is no certificate; set secretRef, sslFiles or vaultPki");
        break;
    }
    if (ok && c->n_verify_subject_alt_name && !out->ca.p) {
        no_ca_for_names(r);
        return false;
    }
    if (one_way(c->one_way_tls))
        out->ca = SLD_STR_NONE;
    return ok;
}

static void alpn(struct tr *tr, const Gloo__SslConfig *c, common_tls *out)
{
    if (c->n_alpn_protocols == 1 && !strcmp(c->alpn_protocols[0], "allow_empty"))
        return;
    out->alpn_protocols = c->alpn_protocols;
    out->n_alpn_protocols = c->n_alpn_protocols;
    if (out->n_alpn_protocols)
        return;
    out->alpn_protocols = SLD_ARENA_ARRAY(tr->arena, char *, 2);
    out->alpn_protocols[out->n_alpn_protocols++] = sld_arena_cstr(tr->arena, SLD_STR("h2"));
    out->alpn_protocols[out->n_alpn_protocols++] = sld_arena_cstr(tr->arena, SLD_STR("http/1.1"));
}

Env__Core__TransportSocket *tr_downstream_tls(struct tr *tr, const Gloo__SslConfig *c,
                                              struct sld_str owner_ns, struct sld_report *r,
                                              struct tr_needs *needs, bool *missing)
{
    struct tr_tls_source s = {0};
    *missing = false;
    if (!downstream_resolve(tr, c, owner_ns, r, &s, missing))
        return NULL;
    struct sld_arena *a = tr->arena;
    struct tr_needs nothing = {0};
    Env__TransportSocketsTls__DownstreamTlsContext *d =
        SLD_MSG(a, Env__TransportSocketsTls__DownstreamTlsContext,
                env__transport_sockets_tls__downstream_tls_context);
    d->common_tls_context = common(tr, &s, "listener", c->parameters, c->verify_subject_alt_name,
                                   c->n_verify_subject_alt_name, s.remembered ? &nothing : needs);
    alpn(tr, c, d->common_tls_context);
    if (s.ca.p)
        d->require_client_certificate = sld_msg_bool(a, true);
    if (c->disable_tls_session_resumption && c->disable_tls_session_resumption->value) {
        d->session_ticket_keys_type_case =
            ENV__TRANSPORT_SOCKETS_TLS__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_DISABLE_STATELESS_SESSION_RESUMPTION;
        d->disable_stateless_session_resumption = true;
    }
    // The numbers of the policies are Envoy's.
    d->ocsp_staple_policy =
        (Env__TransportSocketsTls__DownstreamTlsContext__OcspStaplePolicy)c->ocsp_staple_policy;
    return socket_of(a, &d->base);
}

// ---- Towards upstreams ----

static const Gloo__UpstreamSslConfig no_config = GLOO__UPSTREAM_SSL_CONFIG__INIT;

static bool upstream_secret(struct tr *tr, const Gloo__UpstreamSslConfig *c, const struct wanted *w,
                            struct sld_report *r, struct tr_tls_source *out, bool *missing)
{
    bool own = !one_way(c->one_way_tls);
    const struct tr_secret *s = find_secret(tr, w, own, r, missing);
    if (!s)
        return false;
    out->remembered = *missing;
    if (own && s->has_cert)
        out->cert = tr_sds_cert_name(tr->arena, s->ns, s->name);
    if (s->has_ca)
        out->ca = tr_sds_ca_name(tr->arena, s->ns, s->name);
    return true;
}

bool tr_upstream_tls_resolve(struct tr *tr, const Gloo__UpstreamSslConfig *c,
                             struct sld_str owner_ns, struct sld_report *r,
                             struct tr_tls_source *out, bool *missing)
{
    bool ok = true;
    *missing = false;
    *out = (struct tr_tls_source){0};
    struct wanted w;
    c = c ? c : &no_config;
    switch (c->ssl_secrets_case) {
    case GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_SECRET_REF:
        w = by_ref(c->secret_ref, owner_ns);
        ok = upstream_secret(tr, c, &w, r, out, missing);
        break;
    case GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_VAULT_PKI:
        w = by_pki(tr, c->vault_pki);
        ok = upstream_secret(tr, c, &w, r, out, missing);
        break;
    case GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_SSL_FILES:
        out->files = c->ssl_files;
        if (c->ssl_files->tls_cert[0] && !one_way(c->one_way_tls))
            out->cert = SLD_STR("");
        if (c->ssl_files->root_ca[0])
            out->ca = SLD_STR("");
        break;
    case GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_SDS:
        sds_not_served(r);
        ok = false;
        break;
    default:
        break;
    }
    if (ok && c->n_verify_subject_alt_name && !out->ca.p) {
        no_ca_for_names(r);
        return false;
    }
    return ok;
}

static const Gloo__SslParameters *upstream_parameters(struct tr *tr,
                                                      const Gloo__UpstreamSslConfig *c)
{
    if (c->parameters)
        return c->parameters;
    const Gloo__UpstreamOptions *o = tr_settings(tr)->upstreamoptions;
    return o ? o->ssl_parameters : NULL;
}

Env__Core__TransportSocket *tr_upstream_tls_socket(struct tr *tr, const Gloo__UpstreamSslConfig *c,
                                                   const struct tr_tls_source *s,
                                                   struct sld_str sni, struct tr_needs *needs)
{
    struct sld_arena *a = tr->arena;
    struct tr_needs nothing = {0};
    c = c ? c : &no_config;
    Env__TransportSocketsTls__UpstreamTlsContext *u =
        SLD_MSG(a, Env__TransportSocketsTls__UpstreamTlsContext,
                env__transport_sockets_tls__upstream_tls_context);
    u->common_tls_context = common(tr, s, "cluster", upstream_parameters(tr, c),
                                   c->verify_subject_alt_name, c->n_verify_subject_alt_name,
                                   s->remembered ? &nothing : needs);
    u->common_tls_context->alpn_protocols = c->alpn_protocols;
    u->common_tls_context->n_alpn_protocols = c->n_alpn_protocols;
    u->sni = sld_arena_cstr(a, sni);
    u->allow_renegotiation = c->allow_renegotiation && c->allow_renegotiation->value;
    return socket_of(a, &u->base);
}
