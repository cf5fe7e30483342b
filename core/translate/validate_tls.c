// TLS settings alone: what Envoy would refuse, or what could never work.
#include "translate/validate.h"

#include "codec/format.h"

// ---- Names that BoringSSL knows ----

// Its cipher suites up to TLS 1.2: how keys are agreed on, who authenticates, what encrypts.
enum {
    RSA_DES3,
    RSA_AES128,
    RSA_AES256,
    RSA_GCM128,
    RSA_GCM256,
    PSK_AES128,
    PSK_AES256,
    EC_RSA_AES128,
    EC_RSA_AES256,
    EC_RSA_GCM128,
    EC_RSA_GCM256,
    EC_RSA_CHACHA,
    EC_RSA_SHA256,
    EC_ECDSA_AES128,
    EC_ECDSA_AES256,
    EC_ECDSA_GCM128,
    EC_ECDSA_GCM256,
    EC_ECDSA_CHACHA,
    EC_ECDSA_SHA256,
    EC_PSK_AES128,
    EC_PSK_AES256,
    EC_PSK_CHACHA,
};
#define B(suite) (1U << (suite))
// Groups leave out what is deprecated: triple DES and two suites of CBC with SHA256.
#define OLD_CBC (B(EC_RSA_SHA256) | B(EC_ECDSA_SHA256))
#define K_RSA (B(RSA_AES128) | B(RSA_AES256) | B(RSA_GCM128) | B(RSA_GCM256))
#define K_PSK (B(PSK_AES128) | B(PSK_AES256))
#define EC_RSA                                                                                     \
    (B(EC_RSA_AES128) | B(EC_RSA_AES256) | B(EC_RSA_GCM128) | B(EC_RSA_GCM256) | B(EC_RSA_CHACHA))
#define EC_ECDSA                                                                                   \
    (B(EC_ECDSA_AES128) | B(EC_ECDSA_AES256) | B(EC_ECDSA_GCM128) | B(EC_ECDSA_GCM256) |           \
     B(EC_ECDSA_CHACHA))
#define EC_PSK (B(EC_PSK_AES128) | B(EC_PSK_AES256) | B(EC_PSK_CHACHA))
#define CBC128                                                                                     \
    (B(RSA_AES128) | B(PSK_AES128) | B(EC_RSA_AES128) | B(EC_ECDSA_AES128) | B(EC_PSK_AES128))
#define CBC256                                                                                     \
    (B(RSA_AES256) | B(PSK_AES256) | B(EC_RSA_AES256) | B(EC_ECDSA_AES256) | B(EC_PSK_AES256))
#define GCM128 (B(RSA_GCM128) | B(EC_RSA_GCM128) | B(EC_ECDSA_GCM128))
#define GCM256 (B(RSA_GCM256) | B(EC_RSA_GCM256) | B(EC_ECDSA_GCM256))
#define CHACHA (B(EC_RSA_CHACHA) | B(EC_ECDSA_CHACHA) | B(EC_PSK_CHACHA))
#define ALL (K_RSA | K_PSK | EC_RSA | EC_ECDSA | EC_PSK)

// Names of OpenSSL and of IANA for one suite each, and words for groups.
static const struct {
    const char *names;
    uint32_t suites;
    uint32_t old; // deprecated ones, which only rules that remove reach by the group
    bool group;
} suites[] = {
    {"AES128-GCM-SHA256 TLS_RSA_WITH_AES_128_GCM_SHA256", B(RSA_GCM128), 0, false},
    {"AES128-SHA TLS_RSA_WITH_AES_128_CBC_SHA", B(RSA_AES128), 0, false},
    {"AES256-GCM-SHA384 TLS_RSA_WITH_AES_256_GCM_SHA384", B(RSA_GCM256), 0, false},
    {"AES256-SHA TLS_RSA_WITH_AES_256_CBC_SHA", B(RSA_AES256), 0, false},
    {"DES-CBC3-SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA", B(RSA_DES3), 0, false},
    {"ECDHE-ECDSA-AES128-GCM-SHA256 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", B(EC_ECDSA_GCM128), 0,
     false},
    {"ECDHE-ECDSA-AES128-SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", B(EC_ECDSA_AES128), 0, false},
    {"ECDHE-ECDSA-AES128-SHA256 TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", B(EC_ECDSA_SHA256), 0,
     false},
    {"ECDHE-ECDSA-AES256-GCM-SHA384 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", B(EC_ECDSA_GCM256), 0,
     false},
    {"ECDHE-ECDSA-AES256-SHA TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", B(EC_ECDSA_AES256), 0, false},
    {"ECDHE-ECDSA-CHACHA20-POLY1305 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
     B(EC_ECDSA_CHACHA), 0, false},
    {"ECDHE-PSK-AES128-CBC-SHA TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA", B(EC_PSK_AES128), 0, false},
    {"ECDHE-PSK-AES256-CBC-SHA TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA", B(EC_PSK_AES256), 0, false},
    {"ECDHE-PSK-CHACHA20-POLY1305 TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", B(EC_PSK_CHACHA), 0,
     false},
    {"ECDHE-RSA-AES128-GCM-SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", B(EC_RSA_GCM128), 0,
     false},
    {"ECDHE-RSA-AES128-SHA TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", B(EC_RSA_AES128), 0, false},
    {"ECDHE-RSA-AES128-SHA256 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", B(EC_RSA_SHA256), 0, false},
    {"ECDHE-RSA-AES256-GCM-SHA384 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", B(EC_RSA_GCM256), 0,
     false},
    {"ECDHE-RSA-AES256-SHA TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", B(EC_RSA_AES256), 0, false},
    {"ECDHE-RSA-CHACHA20-POLY1305 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", B(EC_RSA_CHACHA), 0,
     false},
    {"PSK-AES128-CBC-SHA TLS_PSK_WITH_AES_128_CBC_SHA", B(PSK_AES128), 0, false},
    {"PSK-AES256-CBC-SHA TLS_PSK_WITH_AES_256_CBC_SHA", B(PSK_AES256), 0, false},
    {"3DES", B(RSA_DES3), 0, true},
    {"ALL DEFAULT", ALL, B(RSA_DES3) | OLD_CBC, true},
    {"FIPS HIGH", ALL, OLD_CBC, true},
    {"kRSA RSA", K_RSA, B(RSA_DES3), true},
    {"kECDHE kEECDH ECDH ECDHE EECDH", EC_RSA | EC_ECDSA | EC_PSK, OLD_CBC, true},
    {"kPSK PSK", K_PSK, 0, true},
    {"aRSA", K_RSA | EC_RSA, B(RSA_DES3) | B(EC_RSA_SHA256), true},
    {"aECDSA ECDSA", EC_ECDSA, B(EC_ECDSA_SHA256), true},
    {"aPSK", K_PSK | EC_PSK, 0, true},
    {"AES", CBC128 | CBC256 | GCM128 | GCM256, OLD_CBC, true},
    {"AES128", CBC128 | GCM128, OLD_CBC, true},
    {"AES256", CBC256 | GCM256, 0, true},
    {"AESGCM", GCM128 | GCM256, 0, true},
    {"CHACHA20", CHACHA, 0, true},
    {"SHA SHA1", CBC128 | CBC256, B(RSA_DES3), true},
    {"SSLv3 TLSv1", CBC128 | CBC256, B(RSA_DES3), false},
    {"TLSv1.2", GCM128 | GCM256 | CHACHA, OLD_CBC, false},
};
static const char *const curves[] = {"P-256 prime256v1", "P-384 secp384r1", "P-521 secp521r1",
                                     "X25519 x25519",    "X25519MLKEM768",  "MLKEM1024"};
static const char tls13[] =
    "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256";

static bool listed(const char *names, struct sld_str s)
{
    struct sld_str rest = sld_str_c(names), name;
    while (sld_str_cut(&rest, ' ', &name)) {
        if (sld_str_eq(name, s))
            return true;
    }
    return false;
}

struct nearest {
    struct sld_str wanted, best; // BEST absent: none is near
    size_t distance;
};
enum { NEAR = 3 };

static void compare(struct nearest *n, const char *names)
{
    struct sld_str rest = sld_str_c(names), name;
    while (sld_str_cut(&rest, ' ', &name)) {
        size_t d = sld_str_distance(name, n->wanted, NEAR);
        if (d <= NEAR && (!n->best.p || d < n->distance)) {
            n->distance = d;
            n->best = name;
        }
    }
}

static struct sld_str nearest_suite(struct sld_str s)
{
    struct nearest n = {.wanted = s};
    for (size_t i = 0; i < SLD_ARRAY_LEN(suites); i++)
        compare(&n, suites[i].names);
    return n.best;
}

static struct sld_str nearest_curve(struct sld_str s)
{
    struct nearest n = {.wanted = s};
    for (size_t i = 0; i < SLD_ARRAY_LEN(curves); i++)
        compare(&n, curves[i]);
    return n.best;
}

// The suites that WORD means; 0: it is not known. Parts of intersections are GROUPS only. REMOVE:
// also deprecated ones.
static uint32_t suites_of(struct sld_str word, bool groups, bool remove)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(suites); i++) {
        if (listed(suites[i].names, word))
            return groups && !suites[i].group ? 0 : suites[i].suites | (remove ? suites[i].old : 0);
    }
    return 0;
}

// ---- Lists of cipher suites ----

// A list as BoringSSL reads it.
struct rules {
    uint32_t on, never;
    bool grouped;           // there was a group of equals, behind which only additions are allowed
    bool misplaced;         // there was something else
    struct sld_str unknown; // the first name that is not known; absent: all are
};

// "A+B": suites that are in both.
static uint32_t intersection(struct rules *r, struct sld_str words, bool remove)
{
    uint32_t all = UINT32_MAX;
    bool several = sld_str_index(words, '+') >= 0;
    struct sld_str word;
    while (sld_str_cut(&words, '+', &word)) {
        uint32_t some = suites_of(word, several, remove);
        if (!some && !r->unknown.p)
            r->unknown = word;
        all &= some;
    }
    return all;
}

// "A" adds, "-A" removes, "!A" removes for good, "+A" reorders.
static void apply_one(struct rules *r, char op, struct sld_str s)
{
    bool remove = op == '!' || op == '-';
    uint32_t some = intersection(r, s, remove);
    if (op == '!')
        r->never |= some;
    if (remove)
        r->on &= ~some;
    else if (!op)
        r->on |= some & ~r->never;
}

// The same, or "[A|B]", a group of equals.
static void apply(struct rules *r, struct sld_str s)
{
    struct sld_str one;
    if (s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
        r->grouped = true;
        s = sld_str_sub(s, 1, s.n - 2);
        while (sld_str_cut(&s, '|', &one))
            apply_one(r, 0, one);
        return;
    }
    char op = strchr("!-+", s.p[0]) ? s.p[0] : 0;
    r->misplaced = r->misplaced || (op && r->grouped);
    apply_one(r, op, op ? sld_str_sub(s, 1, s.n) : s);
}

static void unknown_name(struct sld_report *r, struct sld_str path, const char *what,
                         struct sld_str s, struct sld_str like)
{
    if (listed(tls13, s))
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

static void check_suites(char *const *list, size_t n, struct sld_report *r)
{
    struct rules rules = {0};
    bool unknown = false;
    for (size_t i = 0; i < n; i++) {
        struct sld_str rest = sld_str_c(list[i]), rule;
        while (sld_str_cut(&rest, ':', &rule)) {
            rules.unknown = SLD_STR_NONE;
            if (rule.n)
                apply(&rules, rule);
            if (!rules.unknown.p)
                continue;
            unknown = true;
            unknown_name(r, sld_arena_fmt(r->arena, "cipherSuites[%zu]", i), "cipher suite",
                         rules.unknown, nearest_suite(rules.unknown));
        }
    }
    if (rules.misplaced)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("cipherSuites"),
                       "rules with !, - or + have no place behind a group [A|B]; put them first");
    else if (n && !unknown && !rules.on)
        sld_report_add(
            r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("cipherSuites"),
            "the list leaves no cipher suite; name at least one that is not removed again");
}

static void check_curves(char *const *list, size_t n, struct sld_report *r)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        struct sld_str s = sld_str_c(list[i]), path = sld_arena_fmt(r->arena, "ecdhCurves[%zu]", i);
        size_t k = 0;
        while (k < SLD_ARRAY_LEN(curves) && !listed(curves[k], s))
            k++;
        if (k == SLD_ARRAY_LEN(curves)) {
            unknown_name(r, path, "curve", s, nearest_curve(s));
            continue;
        }
        if (seen & B(k))
            sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, path,
                           "%.*s is in the list already; name each curve once", SLD_FMT(s));
        seen |= B(k);
    }
}

static void check_parameters(const Gloo__SslParameters *p, struct sld_report *r)
{
    if (!p)
        return;
    struct sld_str was = sld_report_enter(r, "parameters", -1);
    if (p->maximum_protocol_version && p->minimum_protocol_version > p->maximum_protocol_version)
        sld_report_add(r, SLD_ERROR, SLD_TLS_CONFIG, SLD_STR("minimumProtocolVersion"),
                       "the lowest version is above the highest; exchange them");
    check_suites(p->cipher_suites, p->n_cipher_suites, r);
    check_curves(p->ecdh_curves, p->n_ecdh_curves, r);
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
