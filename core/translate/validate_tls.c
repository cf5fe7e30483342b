// TLS settings alone: what Envoy would refuse, or what could never work.
#include "translate/validate.h"

#include "codec/format.h"

// What BoringSSL takes in Envoy's strict list of cipher suites: names of OpenSSL and of IANA, and
// words for groups.
static const char suites[] =
    "3DES AES AES128 AES128-GCM-SHA256 AES128-SHA AES256 AES256-GCM-SHA384 AES256-SHA "
    "AESGCM ALL CHACHA20 DEFAULT DES-CBC3-SHA ECDH ECDHE ECDHE-ECDSA-AES128-GCM-SHA256 "
    "ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 "
    "ECDHE-ECDSA-AES256-SHA ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-PSK-AES128-CBC-SHA "
    "ECDHE-PSK-AES256-CBC-SHA ECDHE-PSK-CHACHA20-POLY1305 ECDHE-RSA-AES128-GCM-SHA256 "
    "ECDHE-RSA-AES128-SHA ECDHE-RSA-AES128-SHA256 ECDHE-RSA-AES256-GCM-SHA384 "
    "ECDHE-RSA-AES256-SHA ECDHE-RSA-CHACHA20-POLY1305 ECDSA EECDH FIPS HIGH PSK "
    "PSK-AES128-CBC-SHA PSK-AES256-CBC-SHA RSA SHA SHA1 SSLv3 "
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 "
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA "
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 "
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA "
    "TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 "
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 "
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA "
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 "
    "TLS_PSK_WITH_AES_128_CBC_SHA TLS_PSK_WITH_AES_256_CBC_SHA "
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA TLS_RSA_WITH_AES_128_CBC_SHA "
    "TLS_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_256_CBC_SHA "
    "TLS_RSA_WITH_AES_256_GCM_SHA384 TLSv1 TLSv1.2 aECDSA aPSK aRSA kECDHE kEECDH kPSK "
    "kRSA";
static const char curves[] =
    "MLKEM1024 P-256 P-384 P-521 X25519 X25519MLKEM768 prime256v1 secp384r1 secp521r1 "
    "x25519";
static const char tls13[] =
    "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256";

static bool known(const char *names, struct sld_str s)
{
    struct sld_str rest = sld_str_c(names), name;
    while (sld_str_cut(&rest, ' ', &name)) {
        if (sld_str_eq(name, s))
            return true;
    }
    return false;
}

// The name of the list nearest to S, or an absent slice.
static struct sld_str nearest(const char *names, struct sld_str s)
{
    enum { NEAR = 3 };
    struct sld_str rest = sld_str_c(names), name, best = SLD_STR_NONE;
    size_t distance = NEAR + 1;
    while (sld_str_cut(&rest, ' ', &name)) {
        size_t d = sld_str_distance(name, s, NEAR);
        if (d < distance) {
            distance = d;
            best = name;
        }
    }
    return best;
}

// The first name in the entry S that Envoy does not know, or an absent slice. Entries are names,
// groups of equals
// "[A|B]", and rules "!A", "-A", "A+B".
static struct sld_str unknown_suite(struct sld_str s)
{
    if (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = sld_str_sub(s, 1, s.n - 2);
    else if (s.n && strchr("!-+", s.p[0]))
        s = sld_str_sub(s, 1, s.n);
    struct sld_str alternatives, word;
    while (sld_str_cut(&s, '|', &alternatives)) {
        while (sld_str_cut(&alternatives, '+', &word)) {
            if (!known(suites, word))
                return word;
        }
    }
    return SLD_STR_NONE;
}

static void unknown_name(struct sld_report *r, struct sld_str path, const char *what,
                         const char *names, struct sld_str s)
{
    struct sld_str like = nearest(names, s);
    if (known(tls13, s))
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, path,
                       "%.*s is a suite of TLS 1.3, which Envoy always offers and does not let "
                       "choose; remove it",
                       SLD_FMT(s));
    else if (like.p)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, path,
                       "Envoy does not know the %s %.*s; did you mean %.*s?", what, SLD_FMT(s),
                       SLD_FMT(like));
    else
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, path,
                       "Envoy does not know the %s %.*s; use a name of BoringSSL", what,
                       SLD_FMT(s));
}

static void check_parameters(const Gloo__SslParameters *p, struct sld_report *r)
{
    if (!p)
        return;
    struct sld_str was = sld_report_enter(r, "parameters", -1);
    if (p->maximum_protocol_version && p->minimum_protocol_version > p->maximum_protocol_version)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("minimumProtocolVersion"),
                       "the lowest version is above the highest; exchange them");
    for (size_t i = 0; i < p->n_cipher_suites; i++) {
        struct sld_str bad = unknown_suite(sld_str_c(p->cipher_suites[i]));
        if (bad.p)
            unknown_name(r, sld_arena_fmt(r->arena, "cipherSuites[%zu]", i), "cipher suite", suites,
                         bad);
    }
    for (size_t i = 0; i < p->n_ecdh_curves; i++) {
        struct sld_str s = sld_str_c(p->ecdh_curves[i]);
        if (!known(curves, s))
            unknown_name(r, sld_arena_fmt(r->arena, "ecdhCurves[%zu]", i), "curve", curves, s);
    }
    sld_report_leave(r, was);
}

static void check_alpn(char *const *protocols, size_t n, struct sld_report *r)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(protocols[i]);
        total += len + 1;
        if (len > 255)
            sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG,
                           sld_arena_fmt(r->arena, "alpnProtocols[%zu]", i),
                           "the name has %zu bytes; at most 255 are allowed", len);
    }
    if (total > UINT16_MAX)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("alpnProtocols"),
                       "the list is too long; at most 65535 bytes are allowed");
}

static void check_files(const Gloo__SSLFiles *f, size_t names, struct sld_report *r)
{
    if (!f->tls_cert[0] != !f->tls_key[0])
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("sslFiles"),
                       "%s is missing; a certificate chain and its private key go together",
                       f->tls_cert[0] ? "tlsKey" : "tlsCert");
    if (names && !f->root_ca[0])
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("verifySubjectAltName"),
                       "names can only be verified with a root certificate; add sslFiles.rootCa, "
                       "or remove verifySubjectAltName");
}

static void check_server_names(const Gloo__SslConfig *c, struct sld_report *r)
{
    for (size_t i = 0; i < c->n_sni_domains; i++) {
        struct sld_str s = sld_str_c(c->sni_domains[i]);
        struct sld_str rest = sld_str_starts(s, SLD_STR("*.")) ? sld_str_sub(s, 2, s.n) : s;
        bool fine = sld_str_eq(s, SLD_STR("*")) ||
                    (sld_str_index(rest, '*') < 0 && sld_str_index(rest, ':') < 0);
        if (s.n && (fine || sld_format_check("domain", s)))
            continue; // the schema has told of what is no domain at all
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, sld_arena_fmt(r->arena, "sniDomains[%zu]", i),
                       "\"%.*s\" is no server name; write a host name without port, or "
                       "*.example.com, or leave sniDomains out for "
                       "all names",
                       SLD_FMT(s));
    }
}

void tr_validate_ssl(const Gloo__SslConfig *c, struct sld_report *r)
{
    check_server_names(c, r);
    check_parameters(c->parameters, r);
    check_alpn(c->alpn_protocols, c->n_alpn_protocols, r);
    if (c->ssl_secrets_case == GLOO__SSL_CONFIG__SSL_SECRETS_SSL_FILES)
        check_files(c->ssl_files, c->n_verify_subject_alt_name, r);
}

void tr_validate_upstream_ssl(const Gloo__UpstreamSslConfig *c, struct sld_report *r)
{
    check_parameters(c->parameters, r);
    check_alpn(c->alpn_protocols, c->n_alpn_protocols, r);
    if (c->ssl_secrets_case == GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_SSL_FILES)
        check_files(c->ssl_files, c->n_verify_subject_alt_name, r);
    if (c->ssl_secrets_case == GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS__NOT_SET &&
        c->n_verify_subject_alt_name)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("verifySubjectAltName"),
                       "names can only be verified with a root certificate; refer to a secret with "
                       "rootCa, or remove "
                       "verifySubjectAltName");
}
